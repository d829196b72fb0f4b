"""The order of a whole plan, what engines ask for, and what this release refuses."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from ocirun.bundle import Bundle
from ocirun.errors import Failure
from ocirun.linux import lsm
from ocirun.linux.masks import mask
from ocirun.linux.mounts import mount_filesystem
from ocirun.plan import compose
from ocirun_spec import accept, rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocirun.facts import Facts
    from ocirun.plan import Plan
    from ocirun.request import Request
    from ocirun.steps import Step

Config = dict[str, Any]

LABEL = "system_u:object_r:container_file_t:s0:c1,c2"
SECCOMP: Config = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}]}


def names(steps: Sequence[Step]) -> list[str]:
    return [f"{step.room}.{step.deed}" for step in steps]


def everything(config: Config) -> Config:
    """A config in which every subsystem has something to do."""
    config["process"]["user"] = {"uid": 1, "gid": 1, "additionalGids": [2], "umask": 18}
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10}]
    config["process"]["oomScoreAdj"] = 5
    config["process"]["terminal"] = True
    config["root"]["readonly"] = True
    config["domainname"] = "example"
    config["mounts"].append({"destination": "/data", "source": "/srv", "options": ["rbind", "ro"]})
    hook = {"path": "/bin/true"}
    config["hooks"] = {name: [hook] for name in ("createRuntime", "createContainer", "startContainer", "poststop")}
    config["linux"].update(
        sysctl={"net.ipv4.ip_forward": "1"},
        seccomp=copy.deepcopy(SECCOMP),
        rootfsPropagation="rslave",
        cgroupsPath="/pod/box",
        uidMappings=[{"containerID": 0, "hostID": 100000, "size": 65536}],
        gidMappings=[{"containerID": 0, "hostID": 100000, "size": 65536}],
    )
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"]["resources"]["pids"] = {"limit": 50}
    return config


def test_the_config_of_everything_is_acceptable(config: Config) -> None:
    whole = everything(config)
    assert accept.accept(whole) is None
    assert rules.check(whole) == []


ORDER = [
    ("cgroup.enter", "rootfs.attach_root", "before the process makes anything that counts"),
    ("idmap.become_root", "rootfs.attach_root", "what is made belongs to the container's root"),
    ("sysctl.write", "mounts.mount_filesystem", "through the host's procfs"),
    ("rootfs.cut_propagation", "rootfs.attach_root", "the host must not see the new root"),
    ("rootfs.attach_root", "mounts.mount_filesystem", "mounts lie in the root"),
    ("mounts.mount_filesystem", "mounts.attach_bind", "the order of the config"),
    ("mounts.attach_bind", "devices.bind", "/dev is a mount"),
    ("devices.link_standard", "console.open_pty", "its devpts is a mount"),
    ("mounts.attach_bind", "masks.make_readonly", "no mount lies on a mask"),
    ("console.open_pty", "masks.make_readonly", "no mount lies on a mask"),
    ("program.open_cwd", "rootfs.make_readonly", "it may have to be made"),
    ("masks.mask", "rootfs.pivot_root", "the host's /dev/null covers files"),
    ("masks.mask", "lifecycle.ask_for_hooks", "hooks see the environment that was made"),
    ("lifecycle.ask_for_hooks", "lifecycle.run_hook", "createRuntime comes before createContainer"),
    ("lifecycle.run_hook", "rootfs.pivot_root", "createContainer comes before the pivot"),
    ("rootfs.make_readonly", "rootfs.pivot_root", "on the descriptor, while it is the root's"),
    ("rootfs.pivot_root", "capabilities.cut_bounding", "the pivot needs the rights"),
    ("capabilities.cut_bounding", "credentials.set_groups", "while CAP_SETPCAP is there"),
    ("credentials.set_groups", "credentials.set_gid", "while CAP_SETGID is there"),
    ("credentials.set_gid", "credentials.set_uid", "while CAP_SETGID is there"),
    ("credentials.set_uid", "capabilities.set_capabilities", "setresuid clears the effective set"),
    ("capabilities.set_capabilities", "lifecycle.set_no_new_privileges", "then they cannot grow"),
    ("credentials.set_uid", "program.enter_cwd", "with the program's rights"),
    ("program.try_cwd", "credentials.set_groups", "with the runtime's rights"),
    ("lifecycle.stand_in_root", "lifecycle.run_hook", "the working directory of createContainer hooks"),
    ("credentials.set_uid", "program.find", "with the program's rights"),
]


@pytest.mark.parametrize(("first", "second", "why"), ORDER)
def test_order_inside(composed: Callable[..., Plan], config: Config, first: str, second: str, why: str) -> None:
    inside = names(composed(everything(config)).inside)
    last_of_first = len(inside) - 1 - inside[::-1].index(first)
    if first == "mounts.mount_filesystem" and second == "mounts.attach_bind":
        last_of_first = inside.index(first)
    assert last_of_first < inside.index(second), why


def test_order_of_launching(composed: Callable[..., Plan], config: Config) -> None:
    launch = names(composed(everything(config), "--preserve-fds", "0").launch)
    assert launch == ["rlimits.set_limit", "lifecycle.run_hook", "seccomp.load", "program.execute"]


def test_without_no_new_privileges_the_filter_is_loaded_with_a_right_to_it(
    composed: Callable[..., Plan], config: Config
) -> None:
    config["process"]["noNewPrivileges"] = False
    config["linux"]["seccomp"] = SECCOMP
    assert names(composed(config).launch)[-3:] == [
        "seccomp.load", "capabilities.set_capabilities", "program.execute",
    ]  # fmt: skip


def test_the_filter_is_compiled_before_anything_is_made(composed: Callable[..., Plan], config: Config) -> None:
    outside = names(composed(everything(config), "--console-socket", "/run/s").outside)
    first_change = outside.index("cgroup.create")
    assert outside.index("seccomp.provide") < first_change
    assert outside.index("console.connect") < first_change
    assert set(outside[first_change:]) <= {
        "cgroup.create", "cgroup.limit", "cgroup.allow_devices", "mounts.describe_cgroup",
    }  # fmt: skip


def test_the_parents_part_once_the_process_exists(composed: Callable[..., Plan], config: Config) -> None:
    adopt = names(composed(everything(config)).adopt)
    assert adopt[:2] == ["idmap.write_map", "idmap.write_map"]
    assert adopt[-2:] == ["oom.set_score", "rlimits.raise_hard"]


def test_a_new_cgroup_namespace_is_somebodys_duty(composed: Callable[..., Plan], config: Config) -> None:
    (enter,) = [step for step in composed(config).inside if step.deed == "enter" and step.room == "cgroup"]
    assert enter.args[1] is True
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "cgroup"]
    (enter,) = [step for step in composed(config).inside if step.deed == "enter" and step.room == "cgroup"]
    assert enter.args[1] is False


def test_steps_by_number(composed: Callable[..., Plan], config: Config) -> None:
    plan = composed(config)
    both = [*plan.inside, *plan.launch]
    assert [plan.step(at) for at in range(len(both))] == both
    assert plan.step(-1) is None
    assert plan.step(len(both)) is None


def test_options_of_the_command_line(composed: Callable[..., Plan], config: Config) -> None:
    plan = names(composed(config, "--no-pivot", "--no-new-keyring").inside)
    assert "rootfs.move_root" in plan
    assert "rootfs.pivot_root" not in plan
    assert "keyring.join" not in plan


def test_a_container_without_a_program(composed: Callable[..., Plan], config: Config) -> None:
    del config["process"]
    plan = composed(config)
    assert plan.launch == []
    assert not any(step.room in ("program", "credentials", "capabilities") for step in plan.inside)


def test_a_bind_of_dev_is_left_alone(composed: Callable[..., Plan], config: Config) -> None:
    config["mounts"] = [{"destination": "/dev", "source": "/dev", "options": ["rbind"]}]
    assert not any(step.room == "devices" for step in composed(config).inside)


def bare(config: Config) -> Config:
    config["linux"] = {"namespaces": [{"type": "pid"}]}
    config["mounts"] = []
    return config


def test_without_a_mount_namespace(composed: Callable[..., Plan], config: Config) -> None:
    inside = names(composed(bare(config)).inside)
    assert inside.index("rootfs.use_directory") < inside.index("program.open_cwd") < inside.index("rootfs.change_root")
    assert not any(name.startswith(("mounts.", "devices.", "masks.")) for name in inside)


def test_a_mount_label_is_refused_where_nothing_reads_it(composed: Callable[..., Plan], config: Config) -> None:
    config["linux"]["mountLabel"] = LABEL
    with pytest.raises(Failure) as caught:
        composed(config)
    assert str(caught.value) == (
        f"/linux/mountLabel: label the mounts with {LABEL}: SELinux is not enabled on this host"
    )


def test_new_filesystems_get_the_mount_label(
    composed: Callable[..., Plan], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lsm, "selinux_enabled", lambda: True)
    config["linux"] |= {"mountLabel": LABEL, "maskedPaths": ["/proc/kcore"]}
    config["mounts"] = [
        {"destination": "/proc", "type": "proc"},
        {"destination": "/a", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/b", "type": "tmpfs", "options": ["context=own"]},
        {"destination": "/dev/mqueue", "type": "mqueue"},
        {"destination": "/c", "type": "bind", "source": "/tmp"},
    ]
    planned = composed(config)
    given = [
        [value for key, value in step.args[2] if key == b"context"]
        for step in planned.inside
        if step.do is mount_filesystem
    ]
    assert given == [[], [LABEL.encode()], [b"own"], []]
    covers = [step.args[2] for step in planned.inside if step.do is mask]
    assert covers == [LABEL.encode()]


def test_the_systemd_driver(config: Config, facts: Facts, make_request: Callable[..., Request]) -> None:
    """A scope in place of a cgroup; the process that keeps it ends when the container's own is there."""
    config["linux"]["cgroupsPath"] = "test.slice:made:unit"
    planned = compose(Bundle("/b", "", config), facts, make_request("create", systemd_cgroup="true"))
    assert "start the unit made-unit.scope" in [step.text for step in planned.outside]
    assert "end the process that kept the unit" in [step.text for step in planned.ready]


def test_a_path_is_no_unit_of_the_systemd_driver(
    config: Config, facts: Facts, make_request: Callable[..., Request]
) -> None:
    config["linux"]["cgroupsPath"] = "/a/path"
    with pytest.raises(Failure) as caught:
        compose(Bundle("/b", "", config), facts, make_request("create", systemd_cgroup="true"))
    assert caught.value.where == "/linux/cgroupsPath"
