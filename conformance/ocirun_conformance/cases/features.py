"""Every claim of `features` is used in a container: features.md, features-linux.md."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ocirun_conformance import config as configs
from ocirun_conformance.case import Fails, NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.facility import effective_capabilities
from ocirun_conformance.recorder import STAGES, Recorder, live
from ocirun_conformance.schema import VERSION
from ocirun_conformance.trial import document, ok

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

NAMESPACES = {"cgroup": "cgroup", "ipc": "ipc", "mount": "mnt", "network": "net", "pid": "pid", "uts": "uts"}
FILESYSTEMS_OWN = {"size", "mode", "uid", "gid", "nr_inodes", "newinstance", "ptmxmode", "lowerdir", "hidepid", "data"}


def claims(trial: Trial) -> dict[str, Any]:
    """The document, if the runtime has the command, which it need not."""
    call = trial.runtime.call(trial.runtime.command("features", {}), trial.new_file("features"))
    if call.code != 0:
        raise NotRun("the runtime has no features command")
    return document(call, "features")


def claimed(trial: Trial, *names: str) -> list[str]:
    """One list of the document, if it is there."""
    found: Any = claims(trial)
    for name in names:
        found = (found or {}).get(name)
    if not found:
        raise NotRun(f"features does not tell {'.'.join(names)}, which it need not")
    return list(found)


@case("FEA-003", "FEA-005", "FEA-007")
def versions_are_a_range(trial: Trial) -> None:
    """features names an oldest and a newest version of the specification"""
    found = claims(trial)
    numbers = []
    for name in ("ociVersionMin", "ociVersionMax"):
        match = VERSION.match(str(found.get(name)))
        if match is None:
            raise Fails(f"{name} is no version", seen=found.get(name))
        numbers.append(tuple(int(part) for part in match.groups()))
    expect(numbers[0] <= numbers[1], "ociVersionMax is less than ociVersionMin", seen=numbers)


@each(row("oldest", "FEA-004", "ociVersionMin"), row("newest", "FEA-006", "ociVersionMax"))
def versions_are_accepted(trial: Trial, name: str) -> None:
    """a configuration with the {0} of features runs"""
    trial.run({**trial.config(), "ociVersion": claims(trial)[name]})


@case("FEA-009")
def hooks_run(trial: Trial) -> None:
    """each hook that features names runs"""
    names = claimed(trial, "hooks")
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    for name in names:
        expect(name in STAGES, f"features names a hook that the specification does not have: {name}")
        recorder.hook(name, "", ["exit", 0])
    live(trial, recorder)
    missing = sorted(set(names) - set(recorder.order))
    expect(not missing, "hooks that features names did not run", seen=missing)


@case("FEA-011")
def no_options_of_one_filesystem(trial: Trial) -> None:
    """features names no mount option of a single filesystem"""
    found = [name for name in claimed(trial, "mountOptions") if "=" in name or name in FILESYSTEMS_OWN]
    expect(not found, "features names options of single filesystems", seen=found)


@case("FEA-012")
def annotations_are_a_map(trial: Trial) -> None:
    """the annotations of features have keys and texts"""
    found = claims(trial).get("annotations") or {}
    good = isinstance(found, dict) and all(key and isinstance(value, str) for key, value in found.items())
    expect(good, "the annotations of features are no map of strings", seen=found)


@case("FEL-001")
def namespaces_are_made(trial: Trial) -> None:
    """each namespace that features names can be had; user and time namespaces are judged elsewhere"""
    names = [name for name in claimed(trial, "linux", "namespaces") if name not in ("user", "time")]
    config = trial.config()
    for name in names:
        configs.add_namespace(config, name)
    facts = trial.run(config).facts
    for name in names:
        expect(name in NAMESPACES, f"features names a namespace that the specification does not have: {name}")
        outside = os.readlink(f"/proc/self/ns/{NAMESPACES[name]}")
        expect(facts["namespaces"][NAMESPACES[name]] != outside, f"there is no new {name} namespace")


@case("FEL-004")
def operators_are_taken(trial: Trial) -> None:
    """each operator that features names is taken"""
    for name in claimed(trial, "linux", "seccomp", "operators"):
        config = trial.config()
        args = [{"index": 0, "value": 5, "valueTwo": 5, "op": name}]
        rule = {"names": ["sched_yield"], "action": "SCMP_ACT_ERRNO", "args": args}
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
        ok(trial.container(config).create(), f"create with the operator {name} that features names:")


CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
"""capabilities(7), each at its number."""


@case("FEL-002")
def capabilities_are_granted(trial: Trial) -> None:
    """each capability that features names is granted, as far as the suite has it itself"""
    names = [name.removeprefix("CAP_") for name in claimed(trial, "linux", "capabilities")]
    unknown = sorted(set(names) - set(CAPABILITIES))
    expect(not unknown, "features names capabilities that capabilities(7) does not have", seen=unknown)
    own = effective_capabilities()
    names = [name for name in names if own >> CAPABILITIES.index(name) & 1]
    config = trial.config()
    for each_set in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][each_set] = [f"CAP_{name}" for name in names]
    expected = sum(1 << CAPABILITIES.index(name) for name in names)
    expect_equal(trial.run(config).facts["capabilities"]["permitted"], expected, "the mask of permitted capabilities")
