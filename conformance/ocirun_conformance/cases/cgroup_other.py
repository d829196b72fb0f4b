"""linux.resources: pids, hugepageLimits, network, rdma and unified: config-linux.md."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ocirun_conformance import cgroups, claims, facility
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.cgroups import MIB, Limit, folder, generation, limit, limited, own_cgroup, set_file
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Trial

PIDS = [facility.controller("pids")]


def pids(number: int) -> Limit:
    """A limit of processes."""
    return limit("pids", {"pids": {"limit": number}}, [{"pids.max": str(number)}], [{"pids.max": str(number)}])


@case("RT-010", "RT-039", needs=PIDS)
def pids_limit(trial: Trial) -> None:
    """pids.limit is in the container's cgroup after create"""
    cgroups.applied(trial, pids(20))


@case("RT-010", "RT-039", needs=PIDS)
def pids_limit_bites(trial: Trial) -> None:
    """with a pids.limit of 20 the program can have 19 children and no more"""
    made = cgroups.create(trial, pids(20), ["fork", "40"], ["wait"])
    ok(made.start(), "start")
    report = made.await_lines(2)
    expect_equal((report[0]["made"], report[0]["error"]), (19, "EAGAIN"), "the number of children, and the error then")


@case("LNX-058", needs=PIDS)
def pids_limit_of_zero(trial: Trial) -> None:
    """a pids.limit of 0 is a limit: the program can have no child"""
    made = trial.started(limited(trial, {"pids": {"limit": 0}}, ["fork", "3"], ["wait"]))
    report = made.await_lines(2)
    expect_equal((folder(made.pid, "pids") / "pids.max").read_text().strip(), "0", "pids.max")
    expect_equal(report[0]["made"], 0, "the number of children")


@case("RT-010", "RT-039", needs=PIDS)
def pids_limit_lifted(trial: Trial) -> None:
    """a pids.limit of -1 takes away the limit that an existing cgroup has"""
    claims.must_know(trial, "1.3.0", "a pids.limit of -1")
    place = own_cgroup(trial, "pids", "-lifted")
    set_file(place / "pids.max", "50")
    config = limited(trial, {"pids": {"limit": -1}})
    config["linux"]["cgroupsPath"] = f"/{place.name}"
    trial.created(config)
    expect_equal((place / "pids.max").read_text().strip(), "max", "pids.max of an existing cgroup")


def page_sizes() -> list[tuple[str, int]]:
    """The names that the kernel's files have for the sizes of huge pages here, and the sizes in bytes."""
    found = []
    for name in sorted(os.listdir("/sys/kernel/mm/hugepages")):
        size = int(name.removeprefix("hugepages-").removesuffix("kB")) << 10
        unit, word = next((one, word) for one, word in ((1 << 30, "GB"), (MIB, "MB"), (1 << 10, "KB")) if size >= one)
        found.append((f"{size // unit}{word}", size))
    return found


def pages(sizes: list[tuple[str, int]], reserved: bool) -> Limit:
    """A limit of two huge pages of each size; reservations are limited where the kernel can, else pages in use."""
    middle = "rsvd." if reserved else ""
    return limit(
        "hugetlb",
        {"hugepageLimits": [{"pageSize": size, "limit": 2 * number} for size, number in sizes]},
        [{f"hugetlb.{size}.{middle}limit_in_bytes": str(2 * number) for size, number in sizes}],
        [{f"hugetlb.{size}.{middle}max": str(2 * number) for size, number in sizes}],
    )


@case("RT-010", "RT-039", needs=[facility.controller("hugetlb")])
def hugepage_limits(trial: Trial) -> None:
    """hugepageLimits are in the container's cgroup, as limits of reservations where the kernel has those"""
    claims.must_know(trial, "1.1.0", "a limit of reservations in hugepageLimits")
    if not page_sizes():
        raise NotRun("this kernel has no huge pages")
    wanted = pages(page_sizes(), reserved=True)
    if not cgroups.taken(trial, wanted)[0]:
        wanted = pages(page_sizes(), reserved=False)
    cgroups.applied(trial, wanted)


@case("RT-041", "RT-042", needs=[facility.root])
def hugepages_of_no_size(trial: Trial) -> None:
    """hugepageLimits of a size that this kernel does not have are an error"""
    trial.refused(limited(trial, {"hugepageLimits": [{"pageSize": "3MB", "limit": MIB}]}), "huge pages of 3 MiB")


ELSEWHERE: dict[str, Limit] = {
    "classID": limit("net_cls", {"network": {"classID": 0x100001}}, [{"net_cls.classid": str(0x100001)}]),
    "priorities": limit(
        "net_prio",
        {"network": {"priorities": [{"name": "lo", "priority": 7}]}},
        [{"net_prio.ifpriomap": "lo 7"}],
    ),
}


@each(*(row(name, "RT-010 RT-039", name) for name in ELSEWHERE), needs=[facility.root])
def network(trial: Trial, name: str) -> None:
    """network.{0} is in the container's cgroup after create"""
    cgroups.applied(trial, ELSEWHERE[name])


@each(*(row(name, "RT-041 RT-042", name) for name in ELSEWHERE), needs=[facility.cgroup1])
def network_is_an_error_if_impossible(trial: Trial, name: str) -> None:
    """network.{0} is an error where its controller is not mounted"""
    cgroups.refused(trial, ELSEWHERE[name])


@each(*(row(name, "RT-041 RT-042", name) for name in ELSEWHERE), needs=[facility.cgroup2])
def network_has_no_counterpart(trial: Trial, name: str) -> None:
    """network.{0}, which cgroup v2 has nothing like, is an error there"""
    trial.refused(limited(trial, ELSEWHERE[name].resources), f"network.{name} on cgroup v2")


@each(
    row("hcaHandles", "RT-041 RT-042", {"hcaHandles": 3}),
    row("hcaObjects", "RT-041 RT-042", {"hcaObjects": 1000}),
    needs=[facility.root],
)
def rdma_without_the_device(trial: Trial, entry: Config) -> None:
    """a limit of a device for RDMA that there is not is an error"""
    trial.refused(limited(trial, {"rdma": {"no_such_device": entry}}), "a limit of a device that there is not")


@each(
    row("hcaHandles", "RT-010 RT-039", {"hcaHandles": 3}, "hca_handle=3 hca_object=max"),
    row("hcaObjects", "RT-010 RT-039", {"hcaObjects": 1000}, "hca_handle=max hca_object=1000"),
    needs=[facility.controller("rdma")],
)
def rdma(trial: Trial, entry: Config, shown: str) -> None:
    """a limit of a device for RDMA is in the container's cgroup"""
    place = "/sys/class/infiniband"
    names = sorted(os.listdir(place)) if os.path.isdir(place) else []
    if not names:
        raise NotRun("needs a device for RDMA")
    line = {"rdma.max": f"{names[0]} {shown}"}
    cgroups.applied(trial, limit("rdma", {"rdma": {names[0]: entry}}, [line], [line]))


UNIFIED: dict[str, tuple[str, dict[str, str]]] = {
    "of_every_cgroup": ("unified", {"cgroup.max.depth": "3"}),
    "several": ("unified", {"cgroup.max.depth": "4", "cgroup.max.descendants": "5"}),
    "memory": ("memory", {"memory.high": str(48 * MIB), "memory.oom.group": "1"}),
    "pids": ("pids", {"pids.max": "17"}),
    "cpu": ("cpu", {"cpu.weight": "33"}),
    "cpuset": ("cpuset", {"cpuset.cpus": "0"}),
    "hugetlb": ("hugetlb", {"hugetlb.2MB.max": str(4 * MIB)}),
}


@each(
    *(row(name, "LNX-061" if name in ("of_every_cgroup", "several") else "LNX-060 LNX-061", name) for name in UNIFIED),
    needs=[facility.root],
)
def unified(trial: Trial, name: str) -> None:
    """keys of unified are written to the files of that name, and the controllers that they need are enabled"""
    controller, files = UNIFIED[name]
    if generation(controller) != 2:
        raise NotRun(f"{controller} is not on cgroup2 here")
    cgroups.applied(trial, limit(controller, {"unified": files}, [], [files]))


@each(
    row("no_such_controller", "LNX-062", {"imagined.max": "5"}, "a controller that there is not"),
    row("controller_elsewhere", "LNX-062", {"net_cls.classid": "5"}, "a controller that cgroup v2 does not have"),
    needs=[facility.root],
)
def unified_of_no_controller(trial: Trial, files: dict[str, str], what: str) -> None:
    """a key of unified for {1} is an error"""
    trial.refused(limited(trial, {"unified": files}), f"a key of unified for {what}")


@case("LNX-062", needs=[facility.cgroup1])
def unified_of_a_controller_on_v1(trial: Trial) -> None:
    """a key of unified for a controller that is used with cgroup v1 is an error"""
    expect(generation("memory") == 1, "memory is not on cgroup v1")
    trial.refused(limited(trial, {"unified": {"memory.max": str(64 * MIB)}}), "memory.max with memory on cgroup v1")
