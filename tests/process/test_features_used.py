"""`features` is whole and the same on every host, and what it claims beyond tests/process/test_features.py is used."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence, status_lines
from process.test_features import claims
from support import facility
from support.bundle import default_config, mount, with_hook, with_namespace, with_shell
from support.facility import find_program, requires
from support.runtime import wait_for

from ocirun_spec import mount_options, version
from ocirun_spec.names import CAPABILITIES
from ocirun_spec.properties import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from process.box import Box
    from process.test_features import Claims

__all__ = ["claims"]
pytestmark = [pytest.mark.process, pytest.mark.privileged]

FOREIGN_HOST = """
set -e
mount -t tmpfs none /sys
echo 5 > /sys/last
mount --bind /sys/last /proc/sys/kernel/cap_last_cap
exec "$@"
"""
"""No cgroups, no security modules, few capabilities: as far as the file system tells."""


def members(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Every place of a document with its value, in the spelling of the property table."""
    yield pointer, value
    if isinstance(value, dict):
        free = pointer == "/annotations"
        for name, item in value.items():
            yield from members(item, f"{pointer}/{'*' if free else name}")
    elif isinstance(value, list):
        for item in value:
            yield from members(item, f"{pointer}/*")


def test_it_does_not_depend_on_the_host(box: Box, claims: Claims) -> None:
    """features.md: determined when the runtime was built."""
    unshare = find_program("unshare")
    assert unshare
    words = [
        unshare,
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        FOREIGN_HOST,
        "sh",
        str(box.runtime.path),
        "features",
    ]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == claims


def test_the_versions_are_a_range(claims: Claims) -> None:
    first, last = version.parse(claims["ociVersionMin"]), version.parse(claims["ociVersionMax"])
    assert first is not None
    assert last is not None
    assert first[:3] <= last[:3]
    assert last[:2] == (1, 3)


def test_every_property_is_there_and_no_other(claims: Claims) -> None:
    """Nothing newer than ociVersionMax, nothing of our own, nothing left out, nothing null."""
    table = {row.pointer: row for row in FEATURES}
    found = dict(members(claims))
    assert set(found) == set(table)
    assert None not in found.values()
    last = version.parse(claims["ociVersionMax"])
    assert last is not None
    for pointer in found:
        since = version.parse(table[pointer].since)
        assert since is not None
        assert since[:3] <= last[:3], pointer


def test_no_list_says_anything_twice(claims: Claims) -> None:
    lists = [value for _, value in members(claims) if isinstance(value, list)]
    assert len(lists) > 10
    for each in lists:
        assert each
        assert len(set(each)) == len(each)


def test_annotations_have_a_key_and_a_text(claims: Claims) -> None:
    for name, value in claims["annotations"].items():
        assert name.count(".") >= 2, "a domain turned round (config.md, Annotations)"
        assert isinstance(value, str)
        assert value


def test_every_capability_is_claimed(claims: Claims) -> None:
    assert set(claims["linux"]["capabilities"]) == set(CAPABILITIES)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert last <= max(CAPABILITIES.values()), "a newer kernel has one that we do not know"


FILESYSTEMS_OWN = (
    "acl", "noacl", "size=1m", "mode=755", "uid=0", "gid=0", "nr_inodes=9", "newinstance", "ptmxmode=666", "discard",
    "huge=never", "lowerdir=/", "hidepid=2", "nsdelegate", "context=x", "user_xattr", "data=ordered", "errors=panic",
)  # fmt: skip


def test_no_option_of_a_single_filesystem_is_claimed(claims: Claims) -> None:
    names = {option.split("=")[0] for option in FILESYSTEMS_OWN}
    assert names & set(claims["mountOptions"]) == set()
    assert [name for name in claims["mountOptions"] if "=" in name] == []


def test_claimed_options_are_not_the_filesystems(box: Box, claims: Claims) -> None:
    """mqueue has no option at all, so that all of these are recognised by the runtime."""
    general = (mount_options.FLAG, mount_options.RECURSIVE, mount_options.PROPAGATION, mount_options.SUPERBLOCK)
    names = [
        name
        for name in claims["mountOptions"]
        if mount_options.OPTIONS[name].kind in (*general, mount_options.DEFAULTS)
    ]
    config = default_config()
    for name in names:
        config["mounts"].append(mount(f"/all/{name}", "mqueue", "mqueue", name))
    seen = box.shell("cut -d' ' -f5 /proc/self/mountinfo", config).split()
    assert {f"/all/{name}" for name in names} <= set(seen)
    config["mounts"][-1]["options"] = ["user_xattr"]
    assert "user_xattr" in one_sentence(box.run(config).expect(1))


@pytest.mark.parametrize("name", ["magic", "pid_for_children", "net", "mnt", "PID", ""])
def test_a_namespace_that_is_not_claimed_is_refused(box: Box, claims: Claims, name: str) -> None:
    assert name not in claims["linux"]["namespaces"]
    sentence = one_sentence(box.run(with_namespace(default_config(), name)).expect(1))
    assert "/linux/namespaces/6/type: " in sentence


@pytest.mark.parametrize("name", ["CAP_MAGIC", "cap_kill", "KILL", "41"])
def test_a_capability_that_is_not_claimed_is_a_warning(box: Box, claims: Claims, name: str) -> None:
    assert name not in claims["linux"]["capabilities"]
    result = box.run(changed(default_config(), "/process/capabilities/bounding", ["CAP_KILL", name])).ok()
    (warning,) = [line["msg"] for line in result.log if line["level"] == "warning" and "unknown" in line["msg"]]
    assert warning.partition(";")[0].endswith(f": {name}")


NODES = {"MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED", "MPOL_PREFERRED_MANY"}


def numa() -> str:
    return "" if Path("/proc/self/numa_maps").exists() else "not this lane: needs a kernel with CONFIG_NUMA"


@requires(numa)
def test_memory_policies(box: Box, claims: Claims) -> None:
    """Each mode and flag reaches the kernel, which may not know the newest ones."""
    claimed = claims["linux"]["memoryPolicy"]
    wanted = [(mode, []) for mode in claimed["modes"]] + [("MPOL_BIND", [flag]) for flag in claimed["flags"]]
    policies = [{"mode": mode, "flags": flags} | ({"nodes": "0"} if mode in NODES else {}) for mode, flags in wanted]
    for policy in policies:
        result = box.run(changed(default_config("head", "-n1", "/proc/self/numa_maps"), "/linux/memoryPolicy", policy))
        if result.code:
            assert one_sentence(result).endswith("set_mempolicy: invalid argument"), policy
            assert policy["mode"] == "MPOL_WEIGHTED_INTERLEAVE", "the only one that is younger than our kernels"


@pytest.mark.parametrize(
    ("policy", "where"),
    [
        ({"mode": "MPOL_MAGIC"}, "/mode"),
        ({"mode": "bind"}, "/mode"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_MAGIC"]}, "/flags/0"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_MF_MOVE"]}, "/flags/0"),
    ],
)
def test_a_memory_policy_that_is_not_claimed_is_refused(box: Box, policy: dict[str, Any], where: str) -> None:
    sentence = one_sentence(box.run(changed(default_config(), "/linux/memoryPolicy", policy)).expect(1))
    assert f"/linux/memoryPolicy{where}: " in sentence


def hook_output(box: Box, stream: str) -> None:
    place = box.directory / stream
    config = default_config()
    config["annotations"] = {f"run.oci.hooks.{stream}": str(place)}
    redirection = " >&2" if stream == "stderr" else ""
    box.run(with_hook(config, "createRuntime", "/bin/sh", "-c", f"echo said{redirection}")).ok()
    assert place.read_text() == "said\n"


def stop_signal(box: Box) -> None:
    script = "trap 'echo >/shared/stopped' USR1; echo >/shared/ready; while :; do usleep 5000; done"
    config = with_shell(box.with_shared(default_config()), script)
    config["annotations"] = {"org.opencontainers.image.stopSignal": "SIGUSR1"}
    box.run(config, "--detach").ok()
    wait_for((box.shared / "ready").exists)
    box.runtime.call("kill", box.ident).ok()
    wait_for((box.shared / "stopped").exists)


def kept_groups(box: Box) -> None:
    config = default_config("cat", "/proc/self/status")
    config["annotations"] = {"run.oci.keep_original_groups": "1"}
    before = os.getgroups()
    os.setgroups([7021])
    try:
        assert status_lines(box.run(config).ok().out)["Groups"] == "7021"
    finally:
        os.setgroups(before)


def pidfd_receiver(box: Box) -> None:
    config = default_config()
    config["annotations"] = {"run.oci.pidfd_receiver": "/no/such/receiver"}
    assert "/no/such/receiver: send the pidfd" in one_sentence(box.run(config).expect(1))


def unit_property(box: Box) -> None:
    """What cannot be a value is said before any systemd is looked for."""
    config = default_config()
    name = "org.systemd.property.TimeoutStopSec"
    config["annotations"] = {name: "nonsense"}
    result = box.runtime.call("--systemd-cgroup", "run", "-b", str(box.write(config)), box.ident).expect(1)
    assert f"/annotations/{name}: 'nonsense' is no value" in one_sentence(result)


ANNOTATIONS: dict[str, Callable[[Box], None]] = {
    "org.opencontainers.image.stopSignal": stop_signal,
    "org.systemd.property.": unit_property,
    "run.oci.hooks.stderr": lambda box: hook_output(box, "stderr"),
    "run.oci.hooks.stdout": lambda box: hook_output(box, "stdout"),
    "run.oci.keep_original_groups": kept_groups,
    "run.oci.pidfd_receiver": pidfd_receiver,
}
"""What each annotation changes."""


def test_each_annotation_that_changes_something_has_a_use(claims: Claims) -> None:
    assert set(claims["potentiallyUnsafeConfigAnnotations"]) == set(ANNOTATIONS)


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotations_that_change_something(box: Box, name: str) -> None:
    ANNOTATIONS[name](box)


def test_other_annotations_change_nothing(box: Box, claims: Claims) -> None:
    """Also the ones that other runtimes look at."""
    names = [
        "org.systemd.property.MemoryMax", "run.oci.delegate-cgroup", "run.oci.seccomp.receiver", "run.oci.handler",
        "io.kubernetes.cri-o.TTY", "org.opencontainers.image.os", "org.criu.config", "com.example.foo",
    ]  # fmt: skip
    assert not set(names) & set(claims["potentiallyUnsafeConfigAnnotations"])
    look = "cat /proc/self/status /proc/self/cgroup /proc/self/mountinfo | grep -vE 'ctxt|^Vm|^Rss|box-'; env; id"
    plain = box.shell(look)
    config = changed(default_config(), "/annotations", dict.fromkeys(names, "1"))
    result = box.run(with_shell(config, look)).ok()
    assert [line for line in result.log if line["level"] != "debug"] == []
    assert len(result.out.splitlines()) == len(plain.splitlines())


@requires(facility.cgroup_v1)
def test_cgroup_v1_is_used(box: Box, claims: Claims) -> None:
    """tests/vm and tests/kernel/cgroup/test_v2.py use cgroup2."""
    assert claims["linux"]["cgroup"]["v1"]
    pid = box.start_sleeper(changed(default_config(), "/linux/resources/pids", {"limit": 33}))
    row = next(line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if ":pids:" in line)
    assert Path(f"/sys/fs/cgroup/pids{row.split(':')[2]}/pids.max").read_text() == "33\n"


@pytest.mark.parametrize("runtime_dir", ["", "/run/user/0"])
def test_systemd_is_refused_as_long_as_it_is_not_claimed(box: Box, claims: Claims, runtime_dir: str) -> None:
    """System-wide and of a user."""
    if claims["linux"]["cgroup"]["systemd"] or claims["linux"]["cgroup"]["systemdUser"]:
        pytest.skip("not this lane: it is claimed")
    bundle = box.write(default_config())
    env = box.runtime.env | ({"XDG_RUNTIME_DIR": runtime_dir} if runtime_dir else {})
    result = box.runtime.call("--systemd-cgroup", "run", "-b", str(bundle), box.ident, env=env).expect(1)
    assert "not supported yet" in one_sentence(result)
