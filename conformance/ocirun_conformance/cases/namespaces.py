"""New, inherited and doubled namespaces: config-linux.md, Namespaces and Offset for Time Namespace."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ocirun_conformance import facility
from ocirun_conformance.case import case, each, expect, expect_equal, row
from ocirun_conformance.config import add_namespace, drop_namespace
from ocirun_conformance.holder import FILES, Holder, link, require_type, with_type
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

TYPES = tuple(sorted(FILES))
MONTH = 30 * 86400
HOUR = 3600
SLACK = 120
"""Seconds that a container may take to start."""


def needs_type(kind: str) -> list[facility.Need]:
    """What the kernel has to have for it."""
    found = [facility.namespace(FILES[kind])]
    return [*found, facility.userns] if kind == "user" else found


@each(*(row(kind, "LNX-003", kind, needs=needs_type(kind)) for kind in TYPES))
def is_supported(trial: Trial, kind: str) -> None:
    """a namespace of type {0} can be had"""
    ok(trial.container(with_type(trial, kind)).create(), f"create with a {kind} namespace")


@case("LNX-003", needs=[facility.root, facility.userns, *(facility.namespace(file) for file in FILES.values())])
def all_at_once(trial: Trial) -> None:
    """all eight types of namespace can be had at once"""
    config = with_type(trial, "user")
    for kind in TYPES:
        add_namespace(config, kind)
    made = trial.created(config)
    same = [kind for kind in TYPES if link(made.pid, kind) == link(os.getpid(), kind)]
    expect_equal(same, [], "the list of namespaces that are not the container's own")


@each(*(row(kind, "LNX-007", kind, needs=needs_type(kind)) for kind in TYPES))
def is_new_without_a_path(trial: Trial, kind: str) -> None:
    """a namespace of type {0} without a path is a new one, for the process that create makes and for the program"""
    require_type(trial, kind)
    made = trial.created(with_type(trial, kind))
    own = link(os.getpid(), kind)
    # a plain user may not look at a process that the runtime has made undumpable
    first = None if trial.rootless else link(made.pid, kind)
    expect(first != own, f"after create the container is in the runtime's {kind} namespace", seen=own)
    ok(made.start(), "start")
    report = made.await_lines(2)
    inside = report.facts["namespaces"][FILES[kind]]
    expect(inside not in (own, None), f"the program is in the runtime's {kind} namespace", seen=inside)
    if not trial.rootless:
        expect_equal(link(made.pid, kind), inside, f"the {kind} namespace of the container's process")


@each(*(row(kind, "LNX-007", kind, needs=needs_type(kind)) for kind in TYPES))
def is_not_shared(trial: Trial, kind: str) -> None:
    """two containers without a path have two namespaces of type {0}"""
    require_type(trial, kind)
    made = [trial.started(with_type(trial, kind)) for _ in range(2)]
    found = [each.await_lines(2).facts["namespaces"][FILES[kind]] for each in made]
    expect(found[0] != found[1], f"two containers share a {kind} namespace", seen=found)


@case("LNX-003", needs=[facility.root, facility.namespace("cgroup")])
def a_cgroup_namespace_begins_at_the_container(trial: Trial) -> None:
    """a new cgroup namespace has the container's cgroup as its root"""
    config = trial.config()
    add_namespace(config, "cgroup")
    lines = (trial.run(config).facts["cgroup"] or "").splitlines()
    expect(lines, "the program does not see its cgroups")
    outside = [line for line in lines if line.split(":", 2)[2] != "/"]
    expect(not outside, "the program sees more of the hierarchy than its own cgroup", expected="/", seen=outside)


@case("LNX-003")
def a_pid_namespace_hides_others(trial: Trial) -> None:
    """in a new pid namespace the program is the first process and sees no others"""
    report = trial.run(trial.config(["report"], ["list", "/proc"]))
    expect_equal(report.facts["pid"], 1, "the program's own process id")
    numbers = sorted(int(name) for name in report[1]["names"] if name.isdigit())
    expect_equal(numbers, [1], "the list of processes in /proc")


@case("LNX-003", needs=[facility.root])
def a_network_namespace_has_its_own_devices(trial: Trial) -> None:
    """in a new network namespace there is none of the host's network devices"""
    config = trial.config(["read", "/proc/self/net/dev"])
    add_namespace(config, "network")
    text = trial.run(config)[0]["text"]
    names = {line.partition(":")[0].strip() for line in text.splitlines()[2:]}
    host = {name for name in os.listdir("/sys/class/net") if os.path.islink(f"/sys/class/net/{name}/device")}
    expect("lo" in names, "a new network namespace lacks its loopback device", seen=sorted(names))
    expect(not names & host, "a new network namespace has the host's devices", seen=sorted(names & host))


@case("LNX-008", needs=[facility.root])
def what_is_not_listed_is_inherited(trial: Trial) -> None:
    """network, user, cgroup and time namespaces that are not listed are the runtime's"""
    made = trial.started(trial.config(["report"], ["wait"]))
    inside = made.await_lines(2).facts["namespaces"]
    own = {kind: link(os.getpid(), kind) for kind in ("network", "user", "cgroup", "time")}
    expect_equal({kind: inside[FILES[kind]] for kind in own}, own, "the set of inherited namespaces")


@each(*(row(kind, "LNX-008", kind) for kind in ("ipc", "pid", "uts")), needs=[facility.root])
def is_inherited(trial: Trial, kind: str) -> None:
    """a namespace of type {0} that is not listed is the runtime's, all others are new"""
    config = trial.config(["report"], ["wait"])
    drop_namespace(config, kind)
    if kind == "uts":
        del config["hostname"]
    made = trial.started(config)
    made.await_lines(2)
    expect_equal(link(made.pid, kind), link(os.getpid(), kind), f"the {kind} namespace")
    others = {name for name in ("ipc", "mount", "pid", "uts") if name != kind}
    shared = [name for name in sorted(others) if link(made.pid, name) == link(os.getpid(), name)]
    expect_equal(shared, [], "the list of listed namespaces that are not new")


@case("LNX-008", needs=[facility.unshare])
def a_mount_namespace_is_inherited(trial: Trial) -> None:
    """without a mount namespace in the list the container is in the runtime's, which here is one of the suite's own"""
    config = trial.config(["wait"])
    drop_namespace(config, "mount")
    config["mounts"] = []
    bundle = trial.bundle(config)
    # runtimes read /proc in the container, where without a mount namespace they need not mount it
    holder = Holder(trial, "mount", script=f"mount -t proc proc '{bundle.rootfs}/proc'")
    holder.put_runtime_in(trial, "mount")
    made = trial.started(bundle)
    made.await_lines(1)
    expect_equal(link(made.pid, "mount"), holder.link("mount"), "the mount namespace")


@each(*(row(kind, "LNX-009", kind, needs=[facility.namespace(FILES[kind])]) for kind in TYPES))
def cannot_be_given_twice(trial: Trial, kind: str) -> None:
    """two entries of type {0} are refused"""
    config = with_type(trial, kind)
    config["linux"]["namespaces"].append({"type": kind})
    trial.refused(config, f"two namespaces of type {kind}")


@each(*(row(kind, "LNX-009", kind) for kind in ("ipc", "network", "uts")), needs=[facility.root])
def cannot_be_given_twice_with_a_path(trial: Trial, kind: str) -> None:
    """an entry of type {0} with a path beside one without is refused"""
    config = with_type(trial, kind)
    config["linux"]["namespaces"].append({"type": kind, "path": f"/proc/{os.getpid()}/ns/{FILES[kind]}"})
    trial.refused(config, f"two namespaces of type {kind}, one with a path")


def offsets_of(text: str) -> dict[str, list[int]]:
    """/proc/PID/timens_offsets: seconds and nanoseconds by clock; see time_namespaces(7)."""
    rows = (line.split() for line in text.splitlines())
    return {words[0]: [int(word) for word in words[1:]] for words in rows}


TIME = [facility.root, facility.namespace("time")]
OFFSETS = {
    "monotonic": {"secs": MONTH, "nanosecs": 500_000_000},
    "boottime": {"secs": HOUR, "nanosecs": 250_000_000},
}


@case("RT-010", "RT-039", needs=TIME)
def time_offsets(trial: Trial) -> None:
    """timeOffsets move the monotonic clock and that of the boot, by seconds and nanoseconds"""
    require_type(trial, "time")
    config = with_type(trial, "time")
    config["linux"]["timeOffsets"] = OFFSETS
    before = (time.clock_gettime(time.CLOCK_MONOTONIC), time.clock_gettime(time.CLOCK_BOOTTIME))
    facts = trial.started(config).await_lines(2).facts
    wanted = {name: [one["secs"], one["nanosecs"]] for name, one in OFFSETS.items()}
    expect_equal(offsets_of(facts["timens_offsets"] or ""), wanted, "the table of the time namespace's offsets")
    moved = (facts["monotonic"] - before[0], facts["boottime"] - before[1])
    good = MONTH - 1 <= moved[0] < MONTH + SLACK and HOUR - 1 <= moved[1] < HOUR + SLACK
    expect(good, "the program's clocks are not those of its time namespace", expected=(MONTH, HOUR), seen=moved)


@case("RT-010", "RT-039", needs=TIME)
def a_clock_that_is_set_back(trial: Trial) -> None:
    """an offset of one clock alone may be negative, and leaves the other clock as it is"""
    require_type(trial, "time")
    config = with_type(trial, "time")
    config["linux"]["timeOffsets"] = {"boottime": {"secs": -1}}
    facts = trial.started(config).await_lines(2).facts
    wanted = {"monotonic": [0, 0], "boottime": [-1, 0]}
    expect_equal(offsets_of(facts["timens_offsets"] or ""), wanted, "the table of the time namespace's offsets")


@case("RT-041", "RT-042", needs=TIME)
def an_offset_out_of_range(trial: Trial) -> None:
    """an offset that the kernel does not take is an error"""
    require_type(trial, "time")
    config = with_type(trial, "time")
    config["linux"]["timeOffsets"] = {"boottime": {"secs": -(1 << 40)}}
    trial.refused(config, "an offset that would set the clock before zero")
