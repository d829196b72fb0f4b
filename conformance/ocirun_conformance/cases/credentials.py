"""The user, the groups, the umask, the capabilities and the labels: config.md, Linux Process and User."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import facility
from ocirun_conformance.caller import called_with
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Bundle, Trial

CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    "CHECKPOINT_RESTORE",
)
"""Without CAP_, as <linux/capability.h> numbers them; capabilities(7)."""
SETS = ("bounding", "permitted", "effective", "inheritable", "ambient")
PR_CAPBSET_DROP = 24


def mask(*names: str) -> int:
    """The set of these capabilities as capget(2) has it."""
    return sum(1 << CAPABILITIES.index(name) for name in names)


def asking(trial: Trial, uid: int, sets: dict[str, list[str]]) -> Config:
    """A configuration whose program is this user's, with these capabilities (without CAP_) in each set."""
    config = trial.config()
    config["process"]["user"] = {"uid": uid, "gid": uid}
    config["process"]["capabilities"] = {kind: [f"CAP_{name}" for name in sets[kind]] for kind in sets}
    return config


@case("RT-010", needs=[facility.root])
def user_and_group(trial: Trial) -> None:
    """real, effective and saved ids are uid and gid"""
    config = trial.config()
    config["process"]["user"] = {"uid": 12, "gid": 34}
    facts = trial.run(config).facts
    expect_equal(facts["uids"], [12, 12, 12], "the real, effective and saved user id")
    expect_equal(facts["gids"], [34, 34, 34], "the real, effective and saved group id")


@case("RT-010", needs=[facility.root])
def additional_groups(trial: Trial) -> None:
    """the program has the additionalGids, and no other group of the caller"""
    called_with(trial, "os.setgroups([77, 78])")
    config = trial.config()
    config["process"]["user"] = {"uid": 12, "gid": 34, "additionalGids": [5, 600, 65534]}
    # whether the effective group is one of those that getgroups(2) tells is not specified
    seen = sorted(set(trial.run(config).facts["groups"]) - {34})
    expect_equal(seen, [5, 600, 65534], "the list of supplementary groups")


@case("RT-010", needs=[facility.root])
def no_additional_groups(trial: Trial) -> None:
    """without additionalGids the program has none of the caller's groups"""
    called_with(trial, "os.setgroups([77, 78])")
    expect_equal(sorted(set(trial.run().facts["groups"]) - {0}), [], "the list of supplementary groups")


@each(row("0137", "RT-010", "0137", 0o137), row("0", "RT-010", "0", 0))
def umask(trial: Trial, _text: str, value: int) -> None:
    """the program has the umask {0}"""
    config = trial.config()
    config["process"]["user"]["umask"] = value
    called_with(trial, "os.umask(0o55)")
    expect_equal(trial.run(config).facts["umask"], value, "the umask")


def _expect_sets(trial: Trial, config: Config, expected: dict[str, int]) -> None:
    seen = trial.run(config).facts["capabilities"]
    for kind in SETS:
        expect_equal(seen[kind], expected.get(kind, 0), f"the {kind} set of capabilities")


@each(
    row("bounding", "RT-010", "bounding", ["bounding"], ["bounding"]),
    row("permitted", "RT-010", "permitted and effective", ["bounding", "permitted", "effective"], ["bounding"]),
    row("inheritable", "RT-010", "inheritable", ["bounding", "permitted", "inheritable"], ["bounding", "inheritable"]),
    row("ambient", "RT-010", "ambient", list(SETS), list(SETS)),
    row("none", "RT-010", "none", [], []),
    needs=[facility.root],
)
def capabilities_of_a_user(trial: Trial, _name: str, sets: list[str], expected: list[str]) -> None:
    """a user other than root has what execve(2) leaves of the sets: {0}"""
    config = asking(trial, 1000, {kind: ["KILL", "CHOWN"] for kind in sets})
    _expect_sets(trial, config, dict.fromkeys(expected, mask("KILL", "CHOWN")))


@case("RT-010", needs=[facility.root])
def each_set_has_its_own(trial: Trial) -> None:
    """what is in one set is not taken for what is in another"""
    every = ["KILL", "CHOWN", "SETUID", "SETGID"]
    sets = {"bounding": every, "permitted": every[:3], "effective": every[:3], "inheritable": every[:2]}
    config = asking(trial, 1000, {**sets, "ambient": every[:1]})
    mine = mask("KILL")
    expected = {"bounding": mask(*every), "inheritable": mask(*every[:2])}
    _expect_sets(trial, config, {**expected, "ambient": mine, "permitted": mine, "effective": mine})


@case("RT-010")
def capabilities_of_root(trial: Trial) -> None:
    """root has the permitted ones and no more, though more are in the bounding set"""
    config = asking(trial, 0, {"bounding": ["KILL", "CHOWN", "SETUID"], "permitted": ["KILL"], "effective": ["KILL"]})
    # with no_new_privs execve(2) gives root nothing that was not permitted before
    expected = {"bounding": mask("KILL", "CHOWN", "SETUID"), "permitted": mask("KILL"), "effective": mask("KILL")}
    _expect_sets(trial, config, expected)


def _in_a_closed_folder(trial: Trial, *sets: str) -> Bundle:
    """A bundle whose program only root may reach, or who has CAP_DAC_READ_SEARCH in these sets."""
    config = asking(trial, 1000, {kind: ["DAC_READ_SEARCH"] for kind in sets})
    config["process"]["args"] = ["/mnt/probe", "report"]
    bundle = trial.bundle(config)
    shutil.copy(trial.program, bundle.rootfs / "mnt/probe")
    (bundle.rootfs / "mnt").chmod(0o700)
    return bundle


@case("RT-010", needs=[facility.root])
def an_effective_capability(trial: Trial) -> None:
    """an effective capability is the process's when it executes the program: it may reach a folder that is closed"""
    made = trial.created(_in_a_closed_folder(trial, "bounding", "permitted", "effective"))
    ok(made.start(), "start of a program that CAP_DAC_READ_SEARCH in the effective set makes reachable")
    made.wait()
    expect_equal(made.report.facts["uids"], [1000] * 3, "the user id")


@case("RT-010", needs=[facility.root])
def no_effective_capability(trial: Trial) -> None:
    """without effective capabilities a program that the user may not reach is not executed"""
    made = trial.container(_in_a_closed_folder(trial, "bounding", "permitted"))
    if made.create().code == 0:
        made.watch()
        made.start()
        made.wait()
    # whether start tells of it is judged by operations.what_execve_refuses_is_an_error
    expect(not made.output, "a program that its user may not reach is executed", seen=made.output)


@each(*(row(f"bit {bit}", "RT-010", bit) for bit in range(6)), needs=[facility.root])
def names_of_capabilities(trial: Trial, bit: int) -> None:
    """every name means its number: those whose number has the bit {0}, in all sets"""
    names = [
        name for at, name in enumerate(CAPABILITIES) if at >> bit & 1 and facility.effective_capabilities() >> at & 1
    ]
    if not names:
        raise NotRun("the suite has none of these capabilities itself")
    _expect_sets(trial, asking(trial, 1000, dict.fromkeys(SETS, names)), dict.fromkeys(SETS, mask(*names)))


@each(*(row(kind, "CFG-106", kind) for kind in SETS), needs=[facility.root])
def an_unknown_capability(trial: Trial, kind: str) -> None:
    """a capability that no kernel has stops no container: in the {0} set, and the others are had"""
    sets = {name: ["KILL"] for name in SETS}
    sets[kind] = ["KILL", "MAGIC"]
    _expect_sets(trial, asking(trial, 1000, sets), dict.fromkeys(SETS, mask("KILL")))


@case("CFG-106", needs=[facility.root])
def a_capability_that_the_caller_lacks(trial: Trial) -> None:
    """a capability that the runtime does not have itself stops no container, and the others are had"""
    if not facility.effective_capabilities() & mask("NET_RAW"):
        raise NotRun("needs CAP_NET_RAW, to give it away")
    drop = f"ctypes.CDLL(None).prctl({PR_CAPBSET_DROP}, {CAPABILITIES.index('NET_RAW')}, 0, 0, 0)"
    called_with(trial, drop)
    config = asking(trial, 1000, {name: ["KILL", "NET_RAW"] for name in SETS})
    _expect_sets(trial, config, dict.fromkeys(SETS, mask("KILL")))


@each(row("true", "RT-010", True), row("false", "RT-010", False))
def no_new_privileges(trial: Trial, value: bool) -> None:
    """noNewPrivileges is what no_new_privs is: {0}"""
    config = trial.config()
    config["process"]["noNewPrivileges"] = value
    expect_equal(trial.run(config).facts["no_new_privs"], int(value), "no_new_privs")


def _with_file_capabilities(trial: Trial, config: Config) -> Bundle:
    """A bundle with a program that brings CAP_KILL along; capabilities(7), struct vfs_cap_data."""
    revision_2, effective = 0x02000000, 0x000001
    bundle = trial.bundle(config)
    program = shutil.copy(trial.program, bundle.rootfs / "mnt/probe")
    data = struct.pack("<5I", revision_2 | effective, mask("KILL"), 0, 0, 0)
    try:
        os.setxattr(program, "security.capability", data)
    except OSError as problem:
        raise NotRun(f"files cannot have capabilities here: {problem.strerror}") from None
    if os.statvfs(program).f_flag & os.ST_NOSUID:
        raise NotRun("needs a temporary folder that is not mounted nosuid")
    return bundle


@each(row("true", "RT-010", True, 0), row("false", "RT-010", False, mask("KILL")), needs=[facility.root])
def capabilities_of_a_file(trial: Trial, value: bool, expected: int) -> None:
    """whether a file that has capabilities gives them to who executes it: with noNewPrivileges {0}"""
    config = asking(trial, 1000, {"bounding": ["KILL"]})
    config["process"]["noNewPrivileges"] = value
    config["process"]["args"] = ["/probe", "exec", "/mnt/probe", "report"]
    first = trial.run(_with_file_capabilities(trial, config))[0]
    expect(first["action"] == "report", "the program cannot execute a file that has capabilities", seen=first)
    expect_equal(first["capabilities"]["effective"], expected, "the effective set of who executes the file")


def _apparmor() -> bool:
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text().strip() == "Y"
    except OSError:
        return False


def _selinux() -> bool:
    return Path("/sys/fs/selinux/enforce").exists()


def _labelled(trial: Trial, member: str, label: str) -> Config:
    config = trial.config()
    config["linux" if member == "mountLabel" else "process"][member] = label
    # masks of /proc would hide the label's file
    config["linux"].pop("maskedPaths", None)
    return config


@case("RT-010", needs=[facility.root])
def apparmor_profile(trial: Trial) -> None:
    """the program is confined by the AppArmor profile"""
    parser = shutil.which("apparmor_parser")
    if not _apparmor() or not parser:
        raise NotRun("needs AppArmor in the kernel, and apparmor_parser(8)")
    name = f"oc-{trial.token}"
    file = trial.path / "profile"
    file.write_text(
        f"profile {name} flags=(attach_disconnected,mediate_deleted) {{\n  file,\n  ptrace,\n  signal,\n}}\n"
    )
    done = subprocess.run([parser, "--replace", str(file)], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise NotRun(f"no profile can be loaded: {done.stderr.strip()}")
    trial.defer(lambda: subprocess.run([parser, "--remove", str(file)], capture_output=True, check=True, timeout=60))
    label = trial.run(_labelled(trial, "apparmorProfile", name)).facts["label"]
    expect_equal((label or "").rstrip("\n\0").partition(" ")[0], name, "the AppArmor profile")


@case("RT-010", needs=[facility.root])
def selinux_label(trial: Trial) -> None:
    """the program has the SELinux label"""
    if not _selinux():
        raise NotRun("needs SELinux in the kernel")
    own = Path("/proc/self/attr/current").read_text().rstrip("\n\0")
    kept, levels = own.split(":")[:3], own.split(":")[3:]
    if not levels:
        raise NotRun("needs an SELinux policy with levels")
    wished = ":".join([*kept, "s0:c1,c2"])
    config = _labelled(trial, "selinuxLabel", wished)
    expect_equal((trial.run(config).facts["label"] or "").rstrip("\n\0"), wished, "the SELinux label")


@each(
    row("apparmorProfile", "RT-010", "apparmorProfile", "oc-no-such-profile", _apparmor),
    row("selinuxLabel", "RT-010", "selinuxLabel", "system_u:system_r:container_t:s0", _selinux),
    row("mountLabel", "RT-039", "mountLabel", "system_u:object_r:container_file_t:s0", _selinux),
)
def a_label_that_cannot_be_had(trial: Trial, member: str, label: str, enabled: Callable[[], bool]) -> None:
    """where the kernel cannot apply {0}, the program is not run without"""
    if enabled():
        raise NotRun(f"this kernel has what {member} needs")
    trial.refused_at_last(_labelled(trial, member, label), f"{member}, which this kernel cannot apply")
