"""The order of a whole plan, what engines ask for, and what this release refuses."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from ocirun.bundle import Bundle
from ocirun.errors import Failure
from ocirun.explaining.order import ORDER
from ocirun.linux import lsm
from ocirun.linux.cgroup.hierarchy import Hierarchies, Hierarchy
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


def joining(config: Config) -> Config:
    """Another one: namespaces by path, devices of the host, no user namespace, a policy that only the process sets."""
    whole = everything(config)
    linux = whole["linux"]
    linux["namespaces"] = [{"type": kind} for kind in ("pid", "mount", "uts", "ipc")]
    linux["namespaces"] += [{"type": "network", "path": "/proc/1/ns/net"}]
    del linux["uidMappings"], linux["gidMappings"]
    linux["netDevices"] = {"eth7": {}}
    linux["intelRdt"] = {"closID": "group"}
    whole["process"]["scheduler"] = {"policy": "SCHED_BATCH"}
    whole["process"]["apparmorProfile"] = "profile"
    return whole


def unified(config: Config) -> Config:
    """The container's user owns its cgroup; clocks are shifted."""
    whole = everything(config)
    whole["linux"]["namespaces"].append({"type": "time"})
    whole["linux"]["timeOffsets"] = {"boottime": {"secs": 1}}
    whole["mounts"][-2]["options"] = ["rshared"]
    del whole["linux"]["resources"]
    return whole


@pytest.fixture
def plans(
    facts: Facts, make_request: Callable[..., Request], config: Config, monkeypatch: pytest.MonkeyPatch
) -> list[list[str]]:
    """The steps of whole plans, so various that each rule about the order says something about one of them."""
    monkeypatch.setattr(lsm, "apparmor_enabled", lambda: True)
    facts._resctrl = "/nowhere/resctrl"
    found = []
    for change in (everything, joining, unified):
        if change is unified:
            facts._cgroups = Hierarchies([], Hierarchy((), "/nowhere/unified", "/"))
        plan = compose(Bundle("/b", "", change(copy.deepcopy(config))), facts, make_request("run"))
        found.append(names([*plan.outside, *plan.adopt, *plan.inside, *plan.ready, *plan.launch]))
    return found


def test_the_order(plans: list[list[str]]) -> None:
    """What `explain` gives as reasons: each row is about a plan of these, and holds in all."""
    silent, broken = [], []
    for first, later, why in ORDER:
        both = [plan for plan in plans if first in plan and later in plan]
        if not both:
            silent.append((first, later))
        broken += [(first, later, why) for plan in both if _last(plan, first) > plan.index(later)]
    assert (silent, broken) == ([], [])


def test_mounts_have_the_order_of_the_config(composed: Callable[..., Plan], config: Config) -> None:
    whole = everything(config)
    mounted = [step.args[0].decode() for step in composed(whole).inside if step.room == "mounts"]
    assert mounted == [each["destination"] for each in whole["mounts"]]


def _last(plan: list[str], name: str) -> int:
    return len(plan) - 1 - plan[::-1].index(name)


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
