"""Id-mapped mounts: the options idmap and ridmap, and a mount's own uidMappings and gidMappings (config.md).

A mapping's containerID is an id of the filesystem, its hostID the id that the mount shows, as the host numbers it.
The file looked at has the owner 3 and the group 4 in its filesystem; another one lies in a mount below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance import facility, mounting
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.probe import Report
    from ocirun_conformance.trial import Trial

HOST = 100000
"""What a container's user namespace maps its root to."""

NOBODY = (65534, 65534)
ACTIONS = (["report"], ["stat", "/mnt/file"], ["stat", "/mnt/sub/file"])
Mapping = list[dict[str, int]]


def _mapping(container: int, host: int, size: int = 100) -> Mapping:
    return [{"containerID": container, "hostID": host, "size": size}]


def _config(trial: Trial, *options: str, userns: bool = False, uids: int = 0, gids: int = 0) -> Config:
    """A bind of a filesystem that can be mapped. uids, gids: what its own mappings make of 0, if it shall have some."""
    config = trial.config(*ACTIONS)
    if userns:
        configs.add_namespace(config, "user")
        config["linux"] |= {"uidMappings": _mapping(0, HOST, 65536), "gidMappings": _mapping(0, HOST, 65536)}
    configs.add_mount(config, "/mnt", "none", str(mounting.mappable(trial)), *options)
    if uids:
        config["mounts"][-1] |= {"uidMappings": _mapping(0, uids), "gidMappings": _mapping(0, gids)}
    return config


def _owner(report: Report, index: int) -> tuple[int, int]:
    """Of the file that the action at `index` has looked at."""
    where = "mount below the bind" if index == 2 else "mount"
    expect(report[index]["error"] is None, f"a file of the {where} cannot be looked at", seen=report[index])
    return report[index]["uid"], report[index]["gid"]


def _expect_mapped(report: Report, owner: tuple[int, int]) -> None:
    expect_equal(_owner(report, 1), owner, "the pair of owner and group in the id-mapped mount")
    expect("idmapped" in report.mounts["/mnt"]["options"], "the mount is not id-mapped", seen=report.mounts["/mnt"])


@each(
    row("idmap", "CFG-068 CFG-075", "bind", "idmap"),
    row("ridmap", "CFG-069 CFG-081", "rbind", "ridmap"),
    needs=[facility.mount_setattr, facility.userns],
)
def own_mappings(trial: Trial, bind: str, option: str) -> None:
    """a {0} with {1} and mappings of its own shows the owners that these say, by a mapping of the kernel's"""
    _expect_mapped(trial.run(_config(trial, bind, option, uids=500, gids=600)), (503, 604))


@each(
    row("uids", "CFG-084", 500, 900, (503, 904)),
    row("gids", "CFG-087", 900, 600, (903, 604)),
    needs=[facility.mount_setattr, facility.userns],
)
def each_mapping(trial: Trial, uids: int, gids: int, owner: tuple[int, int]) -> None:
    """uidMappings of a mount (0 to {0}) map its owners and gidMappings (0 to {1}) its groups"""
    _expect_mapped(trial.run(_config(trial, "bind", "idmap", uids=uids, gids=gids)), owner)


@each(
    row("size", "CFG-084 CFG-087", [*_mapping(0, 500, 3), *_mapping(4, 700, 10)], (NOBODY[0], 700)),
    row("several", "CFG-084 CFG-087", [*_mapping(0, 500, 3), *_mapping(3, 7, 1), *_mapping(4, 9, 1)], (7, 9)),
    needs=[facility.mount_setattr, facility.userns],
)
def ranges(trial: Trial, mapping: Mapping, owner: tuple[int, int]) -> None:
    """each range of a mount's mappings counts, with its size: {0}"""
    config = _config(trial, "bind", "idmap")
    config["mounts"][-1] |= {"uidMappings": mapping, "gidMappings": mapping}
    _expect_mapped(trial.run(config), owner)


@each(
    row("idmap", "CFG-068", "idmap", (3, 4)),
    row("ridmap", "CFG-069", "ridmap", (503, 604)),
    needs=[facility.mount_setattr, facility.userns],
)
def mounted_below(trial: Trial, option: str, below: tuple[int, int]) -> None:
    """with {0} a file of 3:4 in a mount below an id-mapped one has the owner {1}"""
    report = trial.run(_config(trial, "rbind", option, uids=500, gids=600))
    _expect_mapped(report, (503, 604))
    if "/mnt/sub" not in report.mounts:
        raise NotRun("the runtime does not bind what is mounted below, which is judged by idmap.binds_what_is_below")
    expect_equal(_owner(report, 2), below, "the pair of owner and group in the mount below")


@each(row("idmap", "CFG-035", "idmap"), row("ridmap", "CFG-035", "ridmap"), needs=[facility.mount_setattr])
def binds_what_is_below(trial: Trial, option: str) -> None:
    """a rbind with {0} shows what is mounted below its source, as one without"""
    report = trial.run_unless_refused(_config(trial, "rbind", option, uids=500, gids=600))
    if report is None:
        raise NotRun(f"the runtime has no mounts with {option}, which it may refuse")
    expect("/mnt/sub" in report.mounts, f"what is mounted below a rbind with {option} is not there")


@each(
    row("idmap", "CFG-068", "idmap"),
    row("ridmap", "CFG-069", "ridmap"),
    needs=[facility.mount_setattr, facility.userns],
)
def new_filesystem(trial: Trial, option: str) -> None:
    """a new filesystem with {0} is id-mapped"""
    _expect_mapped(trial.run(_new(trial, option)), (500, 600))


def _new(trial: Trial, *options: str) -> Config:
    """A new filesystem with mappings, whose root the program looks at."""
    mounting.tmpfs_is_mappable(trial)
    config = trial.config(["report"], ["stat", "/mnt"])
    configs.add_mount(config, "/mnt", "tmpfs", "tmpfs", *options)
    config["mounts"][-1] |= {"uidMappings": _mapping(0, 500), "gidMappings": _mapping(0, 600)}
    return config


@each(
    row("idmap", "CFG-071", "idmap"),
    row("ridmap", "CFG-077", "ridmap"),
    needs=[facility.mount_setattr, facility.userns],
)
def is_no_word_for_the_filesystem(trial: Trial, option: str) -> None:
    """{0} is not told to a new filesystem, which would refuse the word"""
    if trial.run_unless_refused(_new(trial)) is None:
        raise NotRun("the runtime mounts no new filesystem with mappings, whatever its options")
    report = trial.run_unless_refused(_new(trial, option))
    expect(report is not None, f"a new filesystem that is mounted without {option} is refused with it")


@each(
    row("idmap", "CFG-070", "bind", "idmap"),
    row("ridmap", "CFG-076", "rbind", "ridmap"),
    needs=[facility.mount_setattr, facility.userns],
)
def mapped_or_refused(trial: Trial, bind: str, option: str) -> None:
    """a {0} with {1} is id-mapped, or create fails"""
    report = trial.run_unless_refused(_config(trial, bind, option, uids=500, gids=600))
    if report is not None:
        _expect_mapped(report, (503, 604))


@each(
    row("idmap", "CFG-070", "the option", "idmap"),
    row("ridmap", "CFG-076", "the option", "ridmap"),
    row("mappings", "RT-042", "mappings alone"),
    needs=[facility.mount_setattr],
)
def cannot_be_mapped(trial: Trial, _what: str, *options: str) -> None:
    """a filesystem that the kernel cannot id-map is an error with {0}"""
    config = trial.config()
    configs.add_mount(config, "/mnt", "mqueue", "mqueue", *options)
    config["mounts"][-1] |= {"uidMappings": _mapping(0, 500), "gidMappings": _mapping(0, 600)}
    report = trial.run_unless_refused(config)
    mapped = report is not None and "idmapped" in report.mounts.get("/mnt", {}).get("options", [])
    expect(report is None or mapped, "a filesystem that cannot be id-mapped is mounted without")


@each(
    row("idmap", "CFG-072", "bind", "idmap"),
    row("ridmap", "CFG-078", "rbind", "ridmap"),
    needs=[facility.mount_setattr, facility.userns],
)
def own_before_the_container_s(trial: Trial, bind: str, option: str) -> None:
    """the mappings of a {0} with {1} decide, not those of the container's user namespace"""
    config = _config(trial, bind, option, userns=True, uids=HOST + 20, gids=HOST + 40)
    report = trial.run_unless_refused(config)
    if report is None:
        raise NotRun("the runtime refuses id-mapped mounts in a user namespace, as it may")
    expect_equal(_owner(report, 1), (23, 44), "the pair of owner and group in the id-mapped mount")


@each(
    row("idmap", "CFG-073", "bind", "idmap"),
    row("ridmap", "CFG-079", "rbind", "ridmap"),
    needs=[facility.mount_setattr, facility.userns],
)
def mappings_of_the_container(trial: Trial, bind: str, option: str) -> None:
    """a {0} with {1} and without mappings has those of the container's user namespace, or create fails"""
    report = trial.run_unless_refused(_config(trial, bind, option, userns=True))
    if report is not None:
        expect_equal(_owner(report, 1), (3, 4), "the pair of owner and group in the id-mapped mount")


@each(
    row("idmap", "CFG-074", "bind", "idmap"),
    row("ridmap", "CFG-080", "rbind", "ridmap"),
    needs=[facility.mount_setattr],
)
def nothing_to_map_with(trial: Trial, bind: str, option: str) -> None:
    """a {0} with {1}, without mappings and without a user namespace, is an error"""
    trial.refused(_config(trial, bind, option), f"{option} without anything to map with")


@case("CFG-084", "CFG-087", needs=[facility.mount_setattr, facility.userns])
def in_a_user_namespace(trial: Trial) -> None:
    """in a user namespace, too, a mount's own mappings are applied"""
    config = _config(trial, "bind", "idmap", userns=True, uids=HOST + 20, gids=HOST + 40)
    _expect_mapped(trial.run(config), (23, 44))
