"""What the small subsystems plan, without doing any of it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from ocirun.errors import Failure
from ocirun.linux import (
    capabilities,
    console,
    credentials,
    devices,
    hostname,
    idmap,
    keyring,
    lifecycle,
    lsm,
    masks,
    oom,
    rlimits,
    rootfs,
    sysctl,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirun.facts import Facts
    from ocirun.steps import Step

CAP_KILL, CAP_CHOWN = 1 << 5, 1 << 0


def deeds(steps: Sequence[Step]) -> list[str]:
    return [step.deed for step in steps]


def test_capabilities_become_masks(capfd: pytest.CaptureFixture[str]) -> None:
    wanted = {"bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL", "CAP_CHOWN"]}
    assert capabilities.masks(wanted, -1, "/process") == {
        "bounding": CAP_KILL | CAP_CHOWN,
        "permitted": CAP_KILL,
        "effective": CAP_KILL,
        "inheritable": 0,
        "ambient": 0,
    }
    assert capfd.readouterr().err == (
        "ocirun: warning: /process/capabilities/effective: ignoring what is not in permitted: CAP_CHOWN\n"
    )


def test_unknown_and_unavailable_capabilities_are_one_warning(capfd: pytest.CaptureFixture[str]) -> None:
    wanted = {"bounding": ["CAP_NOTHING", "CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_NOTHING"]}
    found = capabilities.masks(wanted, CAP_CHOWN, "/process")
    assert found["bounding"] == CAP_CHOWN
    assert capfd.readouterr().err == (
        "ocirun: warning: /process/capabilities: ignoring unknown or unavailable capabilities: CAP_KILL, CAP_NOTHING\n"
    )


def test_ambient_is_within_permitted_inheritable_and_so_bounding(capfd: pytest.CaptureFixture[str]) -> None:
    both = ["CAP_KILL", "CAP_CHOWN"]
    wanted = {"bounding": both, "ambient": both, "permitted": both, "inheritable": ["CAP_KILL"]}
    assert capabilities.masks(wanted, -1, "")["ambient"] == CAP_KILL
    assert "/capabilities/ambient: ignoring what is not in inheritable: CAP_CHOWN\n" in capfd.readouterr().err
    found = capabilities.masks(wanted | {"bounding": []}, -1, "")
    assert (found["inheritable"], found["ambient"]) == (0, 0)
    assert "/capabilities/inheritable: ignoring what is not in bounding: CAP_KILL\n" in capfd.readouterr().err


def test_capability_steps(facts: Facts) -> None:
    process = {"capabilities": {kind: ["CAP_KILL"] for kind in capabilities.SETS}}
    bounding, grant, drop = capabilities.plan(process, facts, "/process", False, False)
    assert drop is None
    assert bounding.deed == "cut_bounding"
    assert 5 not in bounding.args[0]
    assert {0, 21} <= set(bounding.args[0])
    assert grant.args == ((CAP_KILL, CAP_KILL, CAP_KILL), (5,))


def test_without_capabilities_everything_goes(facts: Facts) -> None:
    bounding, grant, _drop = capabilities.plan({}, facts, "/process", False, False)
    assert bounding.args[0] == tuple(range(capabilities.last_capability() + 1))
    assert grant.args == ((0, 0, 0), ())


def test_a_late_filter_keeps_sys_admin_until_it_is_loaded(facts: Facts) -> None:
    _bounding, grant, drop = capabilities.plan({}, facts, "/process", False, True)
    assert drop is not None
    assert grant.args[0] == (capabilities.CAP_SYS_ADMIN, capabilities.CAP_SYS_ADMIN, 0)
    assert drop.args == ((0, 0, 0), ())


def test_in_a_user_namespace_every_capability_is_to_be_had(plain_facts: Facts) -> None:
    process = {"capabilities": {"permitted": ["CAP_KILL"]}}
    assert capabilities.plan(process, plain_facts, "/process", True, False)[1].args[0] == (0, CAP_KILL, 0)
    assert capabilities.plan(process, plain_facts, "/process", False, False)[1].args[0] == (0, 0, 0)


def test_credentials_in_the_order_that_permits_the_next() -> None:
    user = {"uid": 5, "gid": 6, "additionalGids": [7, 1 << 31], "umask": 0o27}
    steps = credentials.plan({"user": user}, "/process", True, False)
    assert deeds(steps) == ["own_stdio", "set_groups", "set_gid", "set_uid", "set_umask"]
    assert [step.args for step in steps] == [(5,), (b"\7\0\0\0\0\0\0\x80", 2), (6,), (5,), (0o27,)]
    assert [step.pointer.rpartition("/")[2] for step in steps] == ["user", "additionalGids", "gid", "uid", "umask"]


def test_credentials_of_root() -> None:
    assert deeds(credentials.plan({}, "/process", True, False)) == ["set_groups", "set_gid", "set_uid"]
    assert credentials.plan({}, "/process", True, False)[0].args == (b"", 0)
    assert deeds(credentials.plan({}, "/process", False, False)) == ["set_gid", "set_uid"]


def test_kept_groups_are_not_touched(capfd: pytest.CaptureFixture[str]) -> None:
    assert credentials.keeps_groups({"annotations": {"run.oci.keep_original_groups": ""}})
    assert not credentials.keeps_groups({"annotations": {}})
    assert deeds(credentials.plan({}, "/process", True, True)) == ["set_gid", "set_uid"]
    assert capfd.readouterr().err == ""
    steps = credentials.plan({"user": {"additionalGids": [5]}}, "/process", True, True)
    assert deeds(steps) == ["set_gid", "set_uid"]
    assert "/process/user/additionalGids: not set" in capfd.readouterr().err


def test_groups_that_were_asked_for_are_never_dropped_silently() -> None:
    assert "set_groups" in deeds(credentials.plan({"user": {"additionalGids": [1]}}, "/process", False, False))


def linux(**members: Any) -> dict[str, Any]:
    return {"linux": members}


WIDE = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def own(number: int) -> list[dict[str, int]]:
    return [{"containerID": 0, "hostID": number, "size": 1}]


def test_root_writes_maps_itself(facts: Facts) -> None:
    two = [*WIDE, {"containerID": 70000, "hostID": 1, "size": 2}]
    steps = idmap.adopt(linux(uidMappings=two, gidMappings=WIDE), facts)
    assert deeds(steps) == ["write_map", "write_map"]
    assert steps[0].args == (b"uid", b"0 100000 65536\n70000 1 2\n")
    assert [step.pointer for step in steps] == ["/linux/uidMappings", "/linux/gidMappings"]


def test_a_plain_user_maps_himself_or_asks(plain_facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getegid", lambda: 1001)
    himself = linux(uidMappings=own(1000), gidMappings=own(1001))
    assert deeds(idmap.adopt(himself, plain_facts)) == ["deny_setgroups", "write_map", "write_map"]
    more = linux(uidMappings=WIDE, gidMappings=WIDE)
    assert deeds(idmap.adopt(more, plain_facts)) == ["ask_tool", "ask_tool"]
    assert idmap.adopt(more, plain_facts)[1].args == ("newgidmap", [b"0", b"100000", b"65536"])
    assert not idmap.may_setgroups(himself, plain_facts)
    assert idmap.may_setgroups(more, plain_facts)


def test_who_sets_a_container_up() -> None:
    """Its root; where that has no id, the first that has one."""
    himself = [{"containerID": 1000, "hostID": 5, "size": 1}]
    two = [{"containerID": 70000, "hostID": 1, "size": 2}, *WIDE]
    assert idmap.inside(linux(uidMappings=two, gidMappings=himself))[0].args == (0, 1000)
    assert idmap.inside(linux(uidMappings=himself))[0].args == (1000, 0), "of a namespace that is joined nobody knows"


def test_root_may_set_groups_anyway(facts: Facts) -> None:
    assert idmap.may_setgroups(linux(gidMappings=own(os.getegid())), facts)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/7.forwarding", "net/ipv4/conf/eth0.7/forwarding"),
        ("net/ipv4/conf/eth0.7/forwarding", "net/ipv4/conf/eth0.7/forwarding"),
        ("kernel", "kernel"),
    ],
)
def test_path_of_a_sysctl(name: str, path: str) -> None:
    assert sysctl.path_of(name) == path
    (step,) = sysctl.inside(linux(sysctl={name: "1"}))
    assert step.args == (b"sys/" + path.encode(), b"1")


def test_pointer_of_a_sysctl_is_escaped() -> None:
    (step,) = sysctl.inside(linux(sysctl={"net/a~b": "1"}))
    assert step.pointer == "/linux/sysctl/net~1a~0b"


def test_rlimits_on_both_sides() -> None:
    limits = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 1 << 64}]
    outside = rlimits.adopt({"rlimits": limits}, "/process")
    inside = rlimits.launch({"rlimits": limits}, "/process")
    assert [step.args for step in outside] == [(7, 2), (4, (1 << 64) - 1)]
    assert [step.args for step in inside] == [(7, 1, 2), (4, 0, (1 << 64) - 1)]
    assert [step.pointer for step in inside] == ["/process/rlimits/0", "/process/rlimits/1"]
    assert rlimits.adopt({}, "/process") == []


@pytest.mark.parametrize("score", [0, -1000, 7])
def test_an_oom_score_of_zero_is_set_too(score: int) -> None:
    (step,) = oom.adopt({"oomScoreAdj": score}, "/process")
    assert step.args == (score,)
    assert oom.adopt({}, "/process") == []


def test_default_devices() -> None:
    outside, inside = devices.plan({}, True, True)
    assert outside == []
    made = {step.args[0]: step.args[1:] for step in inside if step.deed == "make"}
    assert set(made) == {b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/random", b"/dev/urandom", b"/dev/tty"}
    assert made[b"/dev/null"] == (stat.S_IFCHR | 0o666, os.makedev(1, 3), (0, 0), (0o666, -1, -1))
    assert made[b"/dev/tty"][1] == os.makedev(5, 0)
    assert inside[-1].deed == "link_standard"


def test_a_configured_device_takes_the_place_of_a_default_one() -> None:
    entry = {"path": "/dev/./null", "type": "c", "major": 9, "minor": 8, "fileMode": 0o20640, "uid": 1, "gid": 2}
    fifo = {"path": "run/p", "type": "p"}
    _outside, inside = devices.plan(linux(devices=[entry, fifo]), True, True)
    made = {step.args[0]: step for step in inside if step.deed == "make"}
    assert len(made) == 7
    assert made[b"/dev/null"].args[1:] == (stat.S_IFCHR | 0o640, os.makedev(9, 8), (1, 2), (0o20640, 1, 2))
    assert made[b"/dev/null"].pointer == "/linux/devices/0"
    assert made[b"/run/p"].args[1:] == (stat.S_IFIFO | 0o666, 0, (0, 0), (-1, -1, -1))
    assert made[b"/dev/zero"].pointer == "/linux/devices"


def test_without_mknod_the_hosts_devices_are_bound() -> None:
    fifo = linux(devices=[{"path": "/run/p", "type": "p"}])
    outside, inside = devices.plan(fifo, False, True)
    assert deeds(outside) == ["copy_device"] * 6
    assert deeds(inside) == ["make", *["bind"] * 6, "link_standard"]
    assert [step.args[1] for step in inside[1:-1]] == outside
    assert devices.plan(fifo, False, False)[0] == []


def test_masked_wins_over_readonly() -> None:
    steps = masks.inside(linux(maskedPaths=["/proc/kcore", "/x"], readonlyPaths=["/proc/sys", "/x"]))
    assert deeds(steps) == ["make_readonly", "make_readonly", "open_null", "mask", "mask"]
    assert [step.pointer for step in steps[-2:]] == ["/linux/maskedPaths/0", "/linux/maskedPaths/1"]
    assert all(step.args[1] is steps[2] for step in steps[3:])


def test_nothing_masked_opens_nothing() -> None:
    assert masks.inside({}) == []
    assert deeds(masks.inside(linux(readonlyPaths=["/x"]))) == ["make_readonly"]


def test_names() -> None:
    steps = hostname.inside({"hostname": "box", "domainname": "example"})
    assert [(step.deed, step.args) for step in steps] == [
        ("set_hostname", (b"box",)),
        ("set_domainname", (b"example",)),
    ]
    assert hostname.inside({"hostname": ""}) == []


def test_keyring_is_named_after_the_container() -> None:
    assert keyring.inside("web")[0].args == (b"_ses.web",)


@pytest.mark.parametrize(
    ("member", "probe", "said"),
    [
        ("apparmorProfile", "apparmor_enabled", "apply the AppArmor profile x: AppArmor is not enabled on this host"),
        ("selinuxLabel", "selinux_enabled", "apply the SELinux label x: SELinux is not enabled on this host"),
    ],
)
def test_labels_are_applied_or_refused(monkeypatch: pytest.MonkeyPatch, member: str, probe: str, said: str) -> None:
    monkeypatch.setattr(lsm, probe, lambda: False)
    with pytest.raises(Failure) as caught:
        lsm.launch({member: "x"}, "/process")
    assert str(caught.value) == f"/process/{member}: {said}"
    monkeypatch.setattr(lsm, probe, lambda: True)
    assert deeds(lsm.launch({member: "x"}, "/process")) == ["write"]
    assert lsm.launch({member: ""}, "/process") == []


@pytest.mark.parametrize(
    ("terminal", "detached", "socket", "said"),
    [
        (True, True, "", "nobody would hold it"),
        (False, True, "/s", "no detached terminal is wanted"),
        (True, False, "/s", "no detached terminal is wanted"),
        (True, True, "/s", ""),
        (True, False, "", ""),
        (False, True, "", ""),
    ],
)
def test_terminals_and_sockets(terminal: bool, detached: bool, socket: str, said: str) -> None:
    if not said:
        console.check({"terminal": terminal}, "/process", detached, socket)
        return
    with pytest.raises(Failure) as caught:
        console.check({"terminal": terminal}, "/process", detached, socket)
    assert said in str(caught.value)
    assert caught.value.where == "/process/terminal"


def test_terminal_steps() -> None:
    process = {"terminal": True, "consoleSize": {"height": 25, "width": 300}, "user": {"uid": 4}}
    connected = console.prepare("/run/s")
    (step,) = console.inside(process, "/process", [*connected], True)
    assert step.args == (connected[0], b"\x19\0\x2c\x01\0\0\0\0", 4, True)
    assert console.prepare("") == []
    assert console.inside({}, "/process", [], True) == []


def test_hooks_of_the_containers_side() -> None:
    hook = {"path": "/h"}
    steps = lifecycle.before_pivot({"prestart": [hook], "createContainer": [hook, hook], "poststop": [hook]})
    assert deeds(steps) == ["ask_for_hooks", "stand_in_root", "run_hook", "run_hook", "close_logs"]
    assert steps[3].pointer == "/hooks/createContainer/1"
    assert deeds(lifecycle.before_pivot({"poststart": [hook]})) == ["close_logs"]
    assert lifecycle.before_pivot({}) == []
    both = lifecycle.before_pivot({"createContainer": [hook], "startContainer": [hook]})
    assert deeds(both) == ["stand_in_root", "run_hook"], "the hooks of `start` have the same logs"
    assert deeds(lifecycle.before_program({"startContainer": [hook]}, None)) == ["run_hook"]


@pytest.mark.parametrize(("terminal", "expected"), [(True, []), (False, ["set_session"])])
def test_a_terminal_brings_its_own_session(terminal: bool, expected: list[str]) -> None:
    assert deeds(lifecycle.new_session({"terminal": terminal})) == expected
    assert deeds(lifecycle.new_session(None)) == ["set_session"]


@pytest.mark.parametrize("name", sorted(rootfs.PROPAGATION))
def test_propagation_of_the_root(name: str) -> None:
    config = {"root": {"path": "r", "readonly": True}, **linux(rootfsPropagation=name)}
    assert deeds(rootfs.finish(config)) == ["make_readonly"]
    assert deeds(rootfs.propagate(config)) == ["set_propagation"]
    assert rootfs.stays_shared(config) == (name in ("shared", "rshared"))


@pytest.mark.parametrize(
    ("no_pivot", "mount_namespace", "deed"),
    [
        (False, True, "pivot_root"),
        (True, True, "move_root"),
        (False, False, "change_root"),
        (True, False, "change_root"),
    ],
)
def test_ways_into_the_root(no_pivot: bool, mount_namespace: bool, deed: str) -> None:
    assert rootfs.pivot(no_pivot, mount_namespace).deed == deed
