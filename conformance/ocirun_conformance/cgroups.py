"""The container's cgroup as the kernel shows it, on cgroup v1, on cgroup2, and on hosts with both.

What a limit has to look like is said once for each version, as lines of the kernel's files. Whether this kernel takes
such lines at all is tried in a cgroup of the suite's own first, so that no runtime is judged for what the host cannot
do. Kernel documents: admin-guide/cgroup-v1, admin-guide/cgroup-v2.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .case import NotRun, expect
from .facility import cgroup_mounts, root
from .host import remove_cgroups
from .trial import CGROUP, ok

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .config import Config
    from .trial import Container, Trial

MIB = 1 << 20
TRIES = 20

V2_NAMES = {"blkio": "io"}
"""Controllers that have another name on cgroup2."""


@dataclass(frozen=True)
class Shown:
    """A file's content: one of its lines is one of these. written: what makes the kernel show the first."""

    lines: tuple[str, ...]
    written: str


def shown(*lines: str, written: str = "") -> Shown:
    """Several lines where several ways of conversion are in use. written: the first line, if not given."""
    return Shown(lines, written or lines[0])


Files = dict[str, Shown]


def _files(table: Mapping[str, str | Shown]) -> Files:
    return {name: value if isinstance(value, Shown) else shown(value) for name, value in table.items()}


@dataclass(frozen=True)
class Limit:
    """Members of linux.resources, and the files that show them: any of several sets of files, which kernels differ in.

    controller: by its name on cgroup v1; v1, v2: empty where that version has nothing of the kind.
    """

    controller: str
    resources: Config
    v1: tuple[Files, ...]
    v2: tuple[Files, ...]


def limit(
    controller: str,
    resources: Config,
    v1: Sequence[Mapping[str, str | Shown]] = (),
    v2: Sequence[Mapping[str, str | Shown]] = (),
) -> Limit:
    """A limit, with plain strings for lines that are written as they are shown."""
    return Limit(controller, resources, tuple(map(_files, v1)), tuple(map(_files, v2)))


def generation(controller: str) -> int:
    """1 or 2 for the version of cgroups that the controller is used with here, 0 when there is none."""
    mounts = cgroup_mounts()
    if controller in mounts and controller != "unified":
        return 1
    unified = mounts.get("unified")
    if unified is None:
        return 0
    names = (unified / "cgroup.controllers").read_text().split()
    return 2 if controller == "unified" or V2_NAMES.get(controller, controller) in names else 0


def mount_of(controller: str) -> Path:
    """Where the hierarchy with this controller is mounted."""
    mounts = cgroup_mounts()
    return mounts[controller if generation(controller) == 1 else "unified"]


def folder(pid: int, controller: str) -> Path:
    """The cgroup of a process in the controller's hierarchy; "unified" for that of cgroup2."""
    wanted = "" if generation(controller) == 2 else controller
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _number, names, path = line.split(":", 2)
        if wanted in names.split(","):
            return mount_of(controller) / path.lstrip("/")
    raise NotRun(f"this kernel does not show the cgroup of a process for {controller}")


def enable(place: Path, controller: str) -> None:
    """Give the cgroup2s below this one a controller."""
    (place / "cgroup.subtree_control").write_text(f"+{V2_NAMES.get(controller, controller)}")


def own_cgroup(trial: Trial, controller: str, name: str = "") -> Path:
    """A cgroup of the suite's own without processes, removed with the case; in all other hierarchies there is none.

    It lies directly below the hierarchy's root, so that a runtime that clears away empty parents does not meet it.
    """
    missing = root.missing()
    version = generation(controller)
    if missing or not version:
        raise NotRun(missing or f"no cgroup controller {controller} here")
    top, path = mount_of(controller), f"{CGROUP}-{trial.path.name}{name}"
    if version == 2 and controller != "unified":
        enable(top, controller)
    place = top / path.lstrip("/")
    place.mkdir(exist_ok=True)
    trial.defer(lambda: remove_cgroups(path))
    if controller == "cpuset" and version == 1:
        for each in ("cpuset.cpus", "cpuset.mems"):
            (place / each).write_text((top / each).read_text())
    return place


def set_file(file: Path, text: str) -> None:
    """Write to a file of a cgroup, which has to be there: cgroupfs answers O_CREAT with EACCES."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def read_files(place: Path, wanted: Files) -> dict[str, str]:
    """The text of each of these files, "no such file" for one that is not there."""
    found = {name: place / name for name in wanted}
    return {name: file.read_text().strip() if file.exists() else "no such file" for name, file in found.items()}


def holds(seen: Mapping[str, str], wanted: Files) -> bool:
    """Whether each file has a line that it should have."""
    return all(set(seen[name].splitlines()) & set(value.lines) for name, value in wanted.items())


def _refusal(place: Path, wanted: Files) -> str:
    """Why this kernel does not take these lines, "" when it does."""
    for name, value in wanted.items():
        try:
            set_file(place / name, value.written)
        except FileNotFoundError:
            return f"this kernel's cgroups have no file {name}"
        except OSError as problem:
            return f"this kernel does not take {value.written!r} for {name}: {problem.strerror}"
    seen = read_files(place, wanted)
    return "" if holds(seen, wanted) else f"this kernel takes, but does not apply: {seen}"


def taken(trial: Trial, wanted: Limit) -> tuple[list[Files], str]:
    """The sets of files that this kernel takes, and why it does not take the last other one."""
    version = generation(wanted.controller)
    if not version:
        return [], f"no cgroup controller {wanted.controller} here"
    sets = wanted.v1 if version == 1 else wanted.v2
    reason = f"cgroup v{version} has nothing of the kind"
    found = []
    for index, each in enumerate(sets):
        refusal = _refusal(own_cgroup(trial, wanted.controller, f"-{index}"), each)
        reason = refusal or reason
        if not refusal:
            found.append(each)
    return found, reason


def limited(trial: Trial, resources: Mapping[str, Any], *actions: Sequence[object]) -> Config:
    """A configuration with these limits; it waits if there are no actions."""
    config = trial.config(*(actions or [["wait"]]))
    config["linux"]["resources"] = copy.deepcopy(dict(resources))
    return config


def create(trial: Trial, wanted: Limit, *actions: Sequence[object], may_refuse: str = "") -> Container:
    """A created container with a limit that this kernel takes.

    On cgroup2 a runtime MAY convert what is made for cgroup v1 (config-linux.md, Unified), so it may also refuse.
    may_refuse: why it may do so for another reason.
    """
    made = trial.container(limited(trial, wanted.resources, *actions))
    call = made.create()
    if call.code and generation(wanted.controller) == 2 and "unified" not in wanted.resources:
        raise NotRun("the runtime refuses to convert this limit to cgroup v2, which it may; see its error")
    if call.code and may_refuse:
        raise NotRun(f"the runtime refuses this limit, which it may: {may_refuse}")
    ok(call, "create")
    made.watch()
    return made


def applied(trial: Trial, wanted: Limit, *, may_refuse: str = "") -> None:
    """After create the container's cgroup shows the limit, in one of the ways that this kernel knows."""
    sets, reason = taken(trial, wanted)
    if not sets:
        raise NotRun(reason)
    made = create(trial, wanted, may_refuse=may_refuse)
    place = folder(made.pid, wanted.controller)
    seen = [read_files(place, each) for each in sets]
    good = any(holds(found, each) for found, each in zip(seen, sets, strict=True))
    expected = [{name: value.lines for name, value in each.items()} for each in sets]
    expect(good, f"the limit is not in the container's cgroup {place}", expected=expected, seen=seen)


def refused(trial: Trial, wanted: Limit) -> None:
    """What this kernel cannot apply is refused."""
    missing = root.missing()
    if missing:
        raise NotRun(missing)
    sets, reason = taken(trial, wanted)
    if sets:
        raise NotRun("this kernel can apply it")
    if generation(wanted.controller) == 2 and not wanted.v2:
        raise NotRun("without counterpart on cgroup v2: judged by another case")
    trial.refused(limited(trial, wanted.resources), f"a limit that cannot be applied here ({reason})")


def weights(shares: int) -> tuple[str, str]:
    """cpu.weight for cpu.shares: both ways of conversion that are in use.

    The older is linear from 2…262144 to 1…10000; the newer (runc 1.3, crun 1.23) has 1024 shares at weight 100.
    """
    logarithm = shares.bit_length() - 1
    if shares != 1 << logarithm:
        raise ValueError("only for powers of two, where the logarithm is a whole number")
    exponent = (logarithm * logarithm + 125 * logarithm) / 612 - 7 / 34
    newer = 10**exponent
    rounded = round(newer, 6)
    newer_weight = int(rounded) if rounded == int(rounded) else int(rounded) + 1
    return str(1 + (shares - 2) * 9999 // 262142), str(newer_weight)


def io_weight(weight: int) -> str:
    """io.weight (1…10000) for the weight (10…1000) of cgroup v1."""
    return str(1 + (weight - 10) * 9999 // 990)
