"""What of a container belongs to the host, and what a restored one must have in common with the checkpointed.

CRIU cannot make what is the host's: bind mounts, the files that cover masked paths, devices that are bound. It is told
of each by its place in the container and gets a name for it; at restore it asks for the host's path of that name.

SECURITY: a name is made of a word and a number, never of a path. CRIU reads ``mnt[NAME]:PATH`` up to the first
bracket, so that a path in place of the name could end it early, and choose what is mounted (CVE-2026-119101). For the
same reason a destination with a bracket is refused.
"""

from __future__ import annotations

import os
import stat

from ocirun.errors import Failure, failure
from ocirun.kernel import files, mount
from ocirun.linux.cgroup import mounts as cgroup_mounts
from ocirun.linux.mounts.wish import Wish
from ocirun_spec import jsontext, mount_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

    from ocirun.facts import Facts

MANIFEST: Final = "ocirun.json"
VERSION: Final = 2
DESCRIPTORS: Final = "descriptors.json"
_COMPARED: Final = (
    ("/linux/maskedPaths", "linux", "maskedPaths"),
    ("/linux/readonlyPaths", "linux", "readonlyPaths"),
    ("/linux/devices", "linux", "devices"),
    ("/linux/uidMappings", "linux", "uidMappings"),
    ("/linux/gidMappings", "linux", "gidMappings"),
    ("/linux/rootfsPropagation", "linux", "rootfsPropagation"),
    ("/root/readonly", "root", "readonly"),
)
DEFAULT_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
_FLAGS: Final = (
    (mount.MOUNT_ATTR_RDONLY, "ro"),
    (mount.MOUNT_ATTR_NOSUID, "nosuid"),
    (mount.MOUNT_ATTR_NODEV, "nodev"),
    (mount.MOUNT_ATTR_NOEXEC, "noexec"),
)
_COVERING: Final = ("ro", "nosuid", "noexec")
"""The flags of what covers a masked file (`masks.py`)."""


class External:
    """One mount that is the host's: its name for CRIU, its place in the container, its host path, its JSON pointer.

    flags: the words that /proc/PID/mountinfo has to show for it.
    """

    __slots__ = ("destination", "flags", "name", "pointer", "source")

    def __init__(self, name: str, pointer: str, destination: str, source: str, flags: tuple[str, ...] = ()) -> None:
        self.name = name
        self.pointer = pointer
        self.destination = destination
        self.source = source
        self.flags = flags
        if set("[]\n") & set(destination):
            raise Failure(f"checkpoint or restore a mount on {destination!r}: CRIU cannot tell its name", where=pointer)


class Mounted:
    """One line of /proc/PID/mountinfo (proc(5)): its number, what of the filesystem, where, its flags and the type."""

    __slots__ = ("flags", "fstype", "number", "place", "root")

    def __init__(self, line: str) -> None:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        self.number = int(fields[0])
        self.root, self.place = _unescaped(fields[3]), _unescaped(fields[4])
        self.flags = frozenset(fields[5].split(","))
        self.fstype = after.split(" ")[0]


def _unescaped(text: str) -> str:
    head, *others = text.split("\\")
    return head + "".join(chr(int(each[:3], 8)) + each[3:] for each in others)


def mounted(pid: int) -> dict[str, Mounted]:
    """The mounts that a process sees, by their place; of several on one place the uppermost."""
    path = f"/proc/{pid}/mountinfo"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while part := os.read(fd, 1 << 16):
                parts.append(part)
        finally:
            os.close(fd)
    except OSError as problem:
        raise failure("look at the container's mounts", problem, where=path) from None
    lines = os.fsdecode(b"".join(parts)).split("\n")
    return {each.place: each for each in (Mounted(line) for line in lines if line)}


def by_destination(config: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The mounts with their index: Podman writes those of the same depth in another order each time."""
    return sorted(enumerate(config.get("mounts") or ()), key=lambda each: files.clean(each[1]["destination"]))


def externals(config: dict[str, Any], record: dict[str, Any], facts: Facts) -> list[External]:
    """The mounts of the configuration whose source is the host's, at the places where they are in this root."""
    found = []
    for rank, (at, entry) in enumerate(by_destination(config)):
        pointer, wish = f"/mounts/{at}", Wish(entry)
        destination = resolved(record["rootfs"], files.clean(entry["destination"]))
        if is_bind(entry):
            source = os.path.join(record["bundle"], entry.get("source") or "")
            wanted = wish.attributes[0] | wish.recursive[0]
            flags = tuple(word for flag, word in _FLAGS if wanted & flag)
            found.append(External(f"mount-{rank}", pointer, destination, source, flags))
        elif entry.get("type") == "cgroup":
            for deed, (kind, name, source, _options, _readonly) in enumerate(
                cgroup_mounts.describe(facts, config, record["cgroup"])
            ):
                if kind == cgroup_mounts.BIND:
                    place = f"{destination}/{name}".rstrip("/")
                    found.append(External(f"cgroup-{rank}-{deed}", pointer, place, source))
    return found


def is_bind(entry: dict[str, Any]) -> bool:
    """Whether an entry of mounts shows something of the host."""
    wish = Wish(entry)
    return bool(wish.bind) and not wish.remount


def covers(config: dict[str, Any], seen: dict[str, Mounted]) -> list[External]:
    """The masked files and the devices that are mounts, as `seen` in the container."""
    linux: dict[str, Any] = config.get("linux") or {}
    found = []
    for at, path in enumerate(linux.get("maskedPaths") or ()):
        place = seen.get(files.clean(path))
        if place is not None and not (place.fstype == "tmpfs" and place.root == "/"):
            found.append(External("null", f"/linux/maskedPaths/{at}", place.place, "/dev/null", _COVERING))
    for at, entry in enumerate(linux.get("devices") or ()):
        path = files.clean(entry["path"])
        if path in seen:
            found.append(External(f"device-{at}", f"/linux/devices/{at}", path, path))
    named = {each.destination for each in found}
    for name in DEFAULT_DEVICES:
        path = f"/dev/{name}"
        if path in seen and path not in named:
            found.append(External(f"default-{name}", "/linux/devices", path, path))
    return found


def resolved(rootfs: str, destination: str) -> str:
    """Where a destination is, when the image has symbolic links on the way to it."""
    try:
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as problem:
        raise failure("open the root filesystem", problem, where=rootfs) from None
    try:
        place = files.open_in_root(root, os.fsencode(destination))
        top, found = os.readlink(f"/proc/self/fd/{root}"), os.readlink(f"/proc/self/fd/{place}")
        os.close(place)
    except OSError:
        return destination
    finally:
        os.close(root)
    return found.removeprefix(top) if found.startswith(f"{top}/") else destination


def manifest(config: dict[str, Any], names: list[External]) -> dict[str, Any]:
    """What `compare` needs of a checkpoint, as JSON: the members that decide how the container was put together."""
    namespaces = (config.get("linux") or {}).get("namespaces") or ()
    return {
        "version": VERSION,
        "mounts": [
            [files.clean(each["destination"]), each.get("type") or "", each.get("options") or []]
            for _, each in by_destination(config)
        ],
        "namespaces": sorted([each["type"], bool(each.get("path"))] for each in namespaces),
        "others": {pointer: (config.get(above) or {}).get(name) for pointer, above, name in _COMPARED},
        "covers": [[each.name, each.destination] for each in names],
    }


def compare(config: dict[str, Any], before: Any) -> None:
    """Refuse a configuration that differs from the checkpoint's in mounts, namespaces or the rest of `manifest`.

    SECURITY: what CRIU restores has the flags of the checkpoint, and the processes count on what they were promised.
    """
    if not isinstance(before, dict) or before.get("version") != VERSION:
        raise Failure("the checkpoint's description is not one that this release can read", where=MANIFEST)
    for where, now, then in _members(config, before):
        if now != then:
            doing = f"restore: the configuration differs from that of the checkpoint, which has {jsontext.dumps(then)}"
            raise Failure(doing, where=where)


def _members(config: dict[str, Any], before: dict[str, Any]) -> Iterator[tuple[str, object, object]]:
    """(JSON pointer, what the configuration has there, what the checkpoint had)."""
    now, mounts, others = manifest(config, []), before.get("mounts"), before.get("others")
    if not isinstance(mounts, list) or not isinstance(others, dict):
        yield "/", now, before
        return
    yield "/mounts", len(now["mounts"]), len(mounts)
    for (at, _), one, other in zip(by_destination(config), now["mounts"], mounts, strict=True):
        yield f"/mounts/{at}", *((one, other) if meaning(one) != meaning(other) else (one, one))
    yield "/linux/namespaces", now["namespaces"], before.get("namespaces")
    for pointer, value in now["others"].items():
        yield pointer, value or None, others.get(pointer) or None


def meaning(entry: object) -> object:
    """A mount of the manifest, equal for words that ask for the same: Podman's restore has `private` for `rprivate`."""
    match entry:
        case [str(destination), str(kind), [*options]] if all(isinstance(each, str) for each in options):
            wish = Wish({"destination": destination, "type": kind, "options": options})
        case _:
            return entry
    propagation = [flag & ~mount_options.MS_REC for flag in wish.propagation[-1:]]
    told = wish.attributes, wish.recursive, propagation, sorted(wish.keys), sorted(wish.data)
    return destination, kind, *told, wish.bind, wish.idmap, wish.remount, wish.tmpcopyup


def lost(wanted: list[External], seen: dict[str, Mounted]) -> list[tuple[str, int]]:
    """(place, MOUNT_ATTR_* missing there): of several mounts of one source CRIU gives only the first its flags."""
    found = []
    for each in wanted:
        flags = seen[each.destination].flags if each.destination in seen else each.flags
        found.append((each.destination, sum(flag for flag, word in _FLAGS if word in each.flags and word not in flags)))
    return [(place, missing) for place, missing in found if missing]


def check_flags(wanted: list[External], seen: dict[str, Mounted]) -> None:
    """Refuse a restored container in which a mount of the host's has fewer restrictions than the configuration says.

    SECURITY: CRIU takes the flags from its images; whoever could write to those must not get a read-only source to
    write to.
    """
    for each in wanted:
        found = seen.get(each.destination)
        if found is None:
            raise Failure(f"restore: nothing is mounted on {each.destination}", where=each.pointer)
        if lost := [flag for flag in each.flags if flag not in found.flags]:
            raise Failure(f"restore: the mount on {each.destination} is not {', '.join(lost)}", where=each.pointer)


def descriptors(pid: int, seen: dict[str, Mounted]) -> tuple[list[str], list[str]]:
    """(a key for each of the descriptors 0, 1 and 2; those of the keys that CRIU must be told of at the dump).

    A pipe's other end, a file of the host and the host's terminal are not in the container: at restore the new caller's
    descriptor takes the place.
    """
    numbers = {each.number for each in seen.values()}
    keys, told = [], []
    for fd in range(3):
        try:
            key = os.readlink(f"/proc/{pid}/fd/{fd}")
            found = os.stat(f"/proc/{pid}/fd/{fd}")
            where = _mount_number(pid, fd)
        except FileNotFoundError:
            keys.append("")
            continue
        if key.startswith("/") and where not in numbers:
            terminal = stat.S_ISCHR(found.st_mode) and key.startswith("/dev/pts/")
            key = f"tty[{found.st_rdev:x}:{found.st_dev:x}]" if terminal else f"file[{where:x}:{found.st_ino:x}]"
            told.append(key)
        keys.append(key)
    return keys, list(dict.fromkeys(told))


def inheritable(key: object) -> bool:
    """Whether a key of `descriptors` stands for something that the new caller has to bring."""
    return isinstance(key, str) and key.startswith(("pipe:", "file[", "tty["))


def _mount_number(pid: int, fd: int) -> int:
    info = os.open(f"/proc/{pid}/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        lines = os.read(info, 4096).split(b"\n")
    finally:
        os.close(info)
    return next((int(line.split()[1]) for line in lines if line.startswith(b"mnt_id:")), -1)


def covers_of(before: dict[str, Any]) -> list[str]:
    """The names of the covers that a checkpoint has, as its description says."""
    return [each[0] for each in before.get("covers") or () if isinstance(each, list) and each]
