"""linux.intelRdt: the container's class of service and monitoring group in resctrl (config-linux.md, IntelRdt; the
kernel's Documentation/filesystems/resctrl.rst).

The class is the directory named by closID, ``/`` for the root itself, or by the container's id. `make` creates what
has to be created and writes the schemata before the clone; `enter` writes the process id to ``tasks`` before the
container's process goes on, so that everything it forks is in the class too.

What is removed: a monitoring group, always; the class only when closID is not set. A `create` that fails also takes
back a closID directory that it made itself and that nobody else has begun to use.
"""

from __future__ import annotations

import os
import stat

from ocirun.errors import Failure, words
from ocirun.kernel import files
from ocirun.kernel import mount as kernel_mount
from ocirun.steps import OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from ocirun.journal import Journal
    from ocirun.parent import Host

    Record = dict[str, Any]

POINTER: Final = "/linux/intelRdt"
RDTGROUP_SUPER_MAGIC: Final = 0x07655821
_NOT_CLASSES: Final = (".", "..", "info", "mon_groups", "mon_data")
_ENOENT: Final = 2
_EEXIST: Final = 17


class Class:
    """What is wanted, decided.

    group:   the class's directory; named: whether closID names it.
    lines:   (pointer, text) of what is written to ``schemata``, in order.
    compare: how many of the first `lines` an existing directory must have already.
    monitor: the monitoring group's directory, or "".
    """

    __slots__ = ("compare", "group", "lines", "monitor", "mount", "named")

    def __init__(self, mount: str, wanted: dict[str, Any], ident: str) -> None:
        name = wanted.get("closID") or ident
        self.mount = mount
        self.named = bool(wanted.get("closID"))
        self.group = mount if name == "/" else f"{mount}/{name}"
        old = [(f"{POINTER}/{key}", wanted[key]) for key in ("l3CacheSchema", "memBwSchema") if wanted.get(key)]
        new = [(f"{POINTER}/schemata/{at}", line) for at, line in enumerate(wanted.get("schemata") or ())]
        self.lines: list[tuple[str, str]] = old + new
        self.compare = len(old)
        self.monitor = f"{self.group}/mon_groups/{ident}" if wanted.get("enableMonitoring") else ""


def find() -> str:
    """The mount point of resctrl in the runtime's mount namespace; "" when there is none."""
    return parse(kernel_mount.mountinfo(), _is_resctrl)


def parse(mountinfo: bytes, visible: Callable[[str], bool]) -> str:
    """The pure part of `find`; `visible(point)` says whether resctrl is what is on top there."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(b" - ")
        fields = before.split(b" ")
        if after.startswith(b"resctrl ") and fields[3] == b"/":
            point = os.fsdecode(kernel_mount.unescape(fields[4]))
            if visible(point):
                return point
    return ""


def _is_resctrl(point: str) -> bool:
    try:
        fd = os.open(point, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return files.statfs_type(fd) == RDTGROUP_SUPER_MAGIC
    finally:
        os.close(fd)


def plan(config: dict[str, Any], ident: str, mount: str) -> tuple[list[OutsideStep], list[OutsideStep]]:
    """(the step before the clone, the step after it); `mount` is what `find` found."""
    wanted: dict[str, Any] = config["linux"]["intelRdt"]
    if not mount:
        hint = "mount -t resctrl resctrl /sys/fs/resctrl, on a processor and a kernel that have it"
        raise Failure("no resctrl filesystem is mounted", where=POINTER, hint=hint)
    name = wanted.get("closID") or ident
    if name != "/" and ("/" in name or "\n" in name or name in _NOT_CLASSES):
        where = f"{POINTER}/closID" if wanted.get("closID") else POINTER
        raise Failure(f"{name!r} cannot be the name of a class of service", where=where)
    chosen = Class(mount, wanted, ident)
    return (
        [OutsideStep(make, POINTER, f"make the class of service {chosen.group}", chosen)],
        [OutsideStep(enter, POINTER, f"enter the class of service {chosen.group}")],
    )


def join(record: Record) -> list[OutsideStep]:
    """For `exec`: another process of the container belongs into the same class."""
    return [OutsideStep(enter, POINTER, f"enter the class of service {record['group']}")]


def make(step: OutsideStep, host: Host) -> None:
    """The directories and the schemata; recorded before each is made."""
    chosen: Class = step.args[0]
    record: Record = {"group": chosen.group, "monitor": "", "made": False, "named": chosen.named}
    host.record["intelRdt"] = record
    if not chosen.named:
        _make_directory(chosen.group, record, "made", True, host, chosen.mount)
    elif not _exists(chosen.group):
        _make_named(chosen, record, host)
    else:
        _compare(chosen)
    for pointer, text in chosen.lines:
        _write(f"{chosen.group}/schemata", text.encode() + b"\n", chosen.mount, pointer)
    if chosen.monitor:
        _make_directory(chosen.monitor, record, "monitor", chosen.monitor, host, chosen.mount)
    host.save()


def _exists(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return False


def _make_named(chosen: Class, record: Record, host: Host) -> None:
    """A closID directory that does not exist; when another container makes it just now, it has to be the same."""
    if not chosen.lines:
        said = f"the class of service {chosen.group} does not exist and nothing says what it should be"
        raise Failure(said, where=f"{POINTER}/closID", errno=_ENOENT)
    try:
        _make_directory(chosen.group, record, "made", True, host, chosen.mount)
    except Failure as problem:
        if problem.errno != _EEXIST:
            raise
        _compare(chosen)


def _make_directory(path: str, record: Record, key: str, value: object, host: Host, mount: str) -> None:
    """mkdir(2), recorded before; what is there already is another's and is taken out of the record again."""
    before = record[key]
    record[key] = value
    host.save()
    try:
        os.mkdir(path, 0o755)
    except OSError as problem:
        record[key] = before
        host.save()
        where = f"{POINTER}/enableMonitoring" if key == "monitor" else POINTER
        said = _status(mount) if problem.errno != _EEXIST else ""
        raise Failure(f"make the directory {path}{said}", where=where, call="mkdir", errno=problem.errno or 0) from None


def update(record: Record | None, lines: list[tuple[str, str]], mount: str, journal: Journal) -> None:
    """Write (pointer, text) to the ``schemata`` of a container's class; `journal` gets the ways back.

    The class changes for all that are in it: `record` may name one that was there before.
    """
    for pointer, text in lines:
        if not record:
            raise Failure("the container has no class of service (linux.intelRdt) that could be changed", where=pointer)
        path = f"{record['group']}/schemata"
        resources = {line.partition(":")[0].strip() for line in text.splitlines()}
        for line in _read(path).splitlines():
            if line.partition(":")[0].strip() in resources:
                doing = f"bring the class of service {record['group']} back"
                journal.add(doing, _write, path, line.strip().encode() + b"\n", mount, "")
        _write(path, text.encode("utf-8", "surrogateescape") + b"\n", mount, pointer)


def enter(step: OutsideStep, host: Host) -> None:
    """The process id to ``tasks``: of the class first, since a monitoring group takes only tasks of its class."""
    record = host.record["intelRdt"]
    for group in (record["group"], record["monitor"]):
        if group:
            _write(f"{group}/tasks", b"%d\n" % host.pid, "", step.pointer)


def _write(path: str, data: bytes, mount: str, pointer: str) -> None:
    """One write(2) to a file that exists; a refusal comes with the kernel's own sentence when `mount` is given."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
    except OSError as problem:
        text = data.decode("utf-8", "replace").strip()
        said = _status(mount) if mount else ""
        doing = f"write {text} to {path}{said}"
        raise Failure(doing, where=pointer, call="write", errno=problem.errno or 0) from None


def _status(mount: str) -> str:
    """info/last_cmd_status, in brackets: why the last mkdir or write was refused."""
    text = _read(f"{mount}/info/last_cmd_status").strip()
    return f" ({'; '.join(text.splitlines())})" if text and text != "ok" else ""


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _compare(chosen: Class) -> None:
    """An existing closID directory must have what l3CacheSchema and memBwSchema say; `schemata` is written to it."""
    if not chosen.compare:
        return
    there = table(_read(f"{chosen.group}/schemata"))
    step = _read(f"{chosen.mount}/info/MB/bandwidth_gran").strip()
    for pointer, text in chosen.lines[: chosen.compare]:
        for key, value in table(text).items():
            if not same(key[0], value, there.get(key, ""), int(step) if step.isdigit() else 0):
                found = there.get(key, "nothing")
                said = f"the existing class of service {chosen.group} has {found} for {key[0]}:{key[1]}, not {value}"
                raise Failure(said, where=pointer)


def table(text: str) -> dict[tuple[str, str], str]:
    """(resource, cache id) to value, from the lines of a ``schemata`` file: ``L3:0=7f0;1=1f``."""
    found = {}
    for line in text.splitlines():
        resource, _, domains = line.partition(":")
        for domain in domains.split(";"):
            number, _, value = domain.partition("=")
            found[resource.strip(), number.strip()] = value.strip()
    return found


def same(resource: str, wanted: str, found: str, step: int) -> bool:
    """Whether two values mean the same: masks are hexadecimal; the kernel rounds bandwidth (MB) up to `step`."""
    try:
        if resource == "MB":
            rounded = -(-int(wanted) // step) * step if step else int(wanted)
            return int(found) in (int(wanted), rounded)
        return int(wanted, 16) == int(found, 16)
    except ValueError:
        return wanted == found


def statistics(record: Record) -> dict[str, Any]:
    """For `events`: the schemata of the container's class, as runc's `intel_rdt` has them; empty when it is gone.

    Left out is what runc reads from ``info``, which is the machine's and the same for every container, and the
    monitoring counters, which need a monitoring group each to mean one container.
    """
    lines = [line.strip() for line in _read(f"{record['group']}/schemata").splitlines()]
    members = {
        "l3_cache_schema": next((line for line in lines if line.startswith("L3")), ""),
        "mem_bw_schema": next((line for line in lines if line.startswith("MB:")), ""),
        "schemata": lines,
    }
    return {name: value for name, value in members.items() if value}


def undo(record: Record, failed: bool) -> list[str]:
    """Remove what the record says is ours; returns what could not be done. Idempotent.

    failed: the container never came to be, so that a closID directory that it made goes too, unless it is in use.
    """
    problems = _remove(record["monitor"]) if record["monitor"] else []
    if record["made"] and (not record["named"] or (failed and _unused(record["group"]))):
        problems += _remove(record["group"])
    return problems


def _remove(path: str) -> list[str]:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return []
    except OSError as problem:
        return [f"remove {path}: {words(problem.errno or 0)}"]
    return []


def _unused(group: str) -> bool:
    """Whether no other container has entered the class meanwhile."""
    try:
        groups = os.listdir(f"{group}/mon_groups")
    except OSError:
        groups = []
    return not groups and not _read(f"{group}/tasks").strip()
