"""A disposable host for inputs that nobody has chosen: what they ask for can be done there, and reaches no other.

SECURITY: namespaces of its own for mounts, processes, network, ipc, names and cgroups; the filesystem read-only except
for one folder; of the cgroup hierarchies only a directory of its own. When process 1 ends, all that is left does.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from support.host import CGROUP_TYPES

from ocirun.kernel import mount, raw
from ocirun.kernel import process as kernel

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
)  # fmt: skip


def enclosed(body: Callable[[Path], None]) -> int:
    """Run `body` in a box, with the folder that can be written to; 0, or 1 when it raised, which is printed."""
    base = Path(tempfile.mkdtemp(prefix="box-", dir="/tmp"))
    hierarchies = _hierarchies()
    groups = [Path(point) / base.name for point, _, _ in hierarchies]
    try:
        for group in groups:
            _make_group(group)
        return _in_child(lambda: _enter(base, groups, hierarchies, body))
    finally:
        for group in groups:
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
        shutil.rmtree(base)


def _hierarchies() -> list[tuple[str, str, str]]:
    """(mount point, type, option that names it) of each cgroup hierarchy."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split()[:3]
        if kind in CGROUP_TYPES:
            names = [name for name in options.split(",") if name not in ("rw", "ro", "xattr", "nsdelegate")]
            found.append((left.split()[4], kind, ",".join(names) if kind == "cgroup" else ""))
    return found


def _make_group(group: Path) -> None:
    group.mkdir()
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and (group.parent / name).exists():
            (group / name).write_text((group.parent / name).read_text())


def _in_child(body: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            body()
            code = 0
        except SystemExit:
            pass
        except BaseException:  # noqa: BLE001 (it is the child's last word)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _enter(
    base: Path, groups: list[Path], hierarchies: list[tuple[str, str, str]], body: Callable[[Path], None]
) -> None:
    for group in groups:
        (group / "cgroup.procs").write_text("0")
    kernel.unshare(_OWN)
    if _in_child(lambda: _first(base, hierarchies, body)):
        raise SystemExit(1)


def _first(base: Path, hierarchies: list[tuple[str, str, str]], body: Callable[[Path], None]) -> None:
    """The first process: makes the mounts, and reaps what is left to it until the one that works has ended."""
    _close_filesystem(base, hierarchies)
    worker = os.fork()
    if worker == 0:
        os._exit(_in_child(lambda: body(base)))
    while True:
        pid, status = os.wait()
        if pid == worker:
            if status:
                raise SystemExit(1)
            return


def _close_filesystem(base: Path, hierarchies: list[tuple[str, str, str]]) -> None:
    here = os.open("/", os.O_PATH)
    mount.mount_setattr(here, mount.AT_RECURSIVE, mount.MOUNT_ATTR_RDONLY, propagation=mount.MS_PRIVATE)
    os.close(here)
    _attach(mount.copy(os.open(base, os.O_PATH), False), str(base))
    inside = os.open(base, os.O_PATH)
    mount.mount_setattr(inside, 0, 0, mount.MOUNT_ATTR_RDONLY)
    mount.umount(b"/proc")
    _attach(mount.new_filesystem(b"proc", [], 0), "/proc")
    for point, _, _ in reversed(hierarchies):
        mount.umount(os.fsencode(point))
    if hierarchies:
        _attach(mount.new_filesystem(b"tmpfs", [(b"mode", b"755")], 0), "/sys/fs/cgroup")
    for point, kind, name in hierarchies:
        Path(point).mkdir(exist_ok=True)
        raw.call("mount", raw.MOUNT, b"cgroup", os.fsencode(point), kind.encode(), 0, name.encode() or None)


def _attach(tree: int, place: str) -> None:
    fd = os.open(place, os.O_PATH)
    mount.move_mount(tree, fd)
    os.close(fd)
    os.close(tree)
