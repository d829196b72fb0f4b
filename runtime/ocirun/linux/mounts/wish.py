"""One mount entry's options, taken apart, and what is refused before the kernel is asked. Pure."""

from __future__ import annotations

from ocirun import log
from ocirun.errors import Failure
from ocirun.kernel import files, mount
from ocirun_spec import mount_options as table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

PROC_FILES: Final = frozenset(
    f"/proc/{name}"
    for name in (
        "cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "net/dev",
        "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled",
    )
)  # fmt: skip
"""What lxcfs and its like put over single files of /proc; the list that runc allows."""

_UNHEARD: Final = ("iversion", "noiversion", "silent")
"""Flags of mount(2) without a name in fsconfig(2): filesystems count versions or not, and print what they like."""

_CONTEXTS: Final = ("context=", "fscontext=", "defcontext=", "rootcontext=")


class Wish:
    """One entry's options, taken apart (config.md, Linux mount options)."""

    __slots__ = (
        "attributes", "bind", "data", "idmap", "keys", "label", "propagation", "recursive", "remount", "tmpcopyup",
    )  # fmt: skip

    def __init__(self, entry: dict[str, Any], label: bytes = b"") -> None:
        """`label` is linux.mountLabel, which an entry's own SELinux context goes before."""
        options: list[str] = entry.get("options") or []
        self.label = b"" if any(option.startswith(_CONTEXTS) for option in options) else label
        self.attributes = table.attributes(options, table.FLAG)
        self.recursive = table.attributes(options, table.RECURSIVE)
        self.propagation: list[int] = []
        self.keys: list[str] = []
        self.data: list[str] = []
        self.bind = table.BIND if entry.get("type") == table.BIND else ""
        self.idmap = ""
        self.remount = self.tmpcopyup = False
        for option in options:
            row = table.find(option)
            if row is None:
                self.data.append(option)
            else:
                self._take(row)

    def put_off_readonly(self) -> bool:
        """Take the flag out; whether it was there."""
        wanted = (self.attributes[0] | self.recursive[0]) & mount.MOUNT_ATTR_RDONLY
        self.attributes, self.recursive = (
            (to_set & ~mount.MOUNT_ATTR_RDONLY, to_clear) for to_set, to_clear in (self.attributes, self.recursive)
        )
        return bool(wanted)

    def _take(self, row: table.MountOption) -> None:
        if row.kind == table.PROPAGATION:
            self.propagation.append(row.ms_set)
        elif row.kind == table.SUPERBLOCK and row.key:
            self.keys.append(row.key)
        elif row.kind in (table.BIND, table.RBIND):
            self.bind = row.kind
        elif row.kind in (table.IDMAP, table.RIDMAP):
            self.idmap = row.kind
        elif row.kind == table.REMOUNT:
            self.remount = True
        elif row.kind == table.TMPCOPYUP:
            self.tmpcopyup = True


def check(entry: dict[str, Any], wish: Wish, pointer: str) -> None:
    """Refuse what must not be mounted whatever the kernel says."""
    destination = files.clean(entry["destination"])
    if destination == "/":
        raise Failure("mount on /: the root is given by root.path", where=pointer)
    if destination == "/proc" and entry.get("type") != "proc" and not wish.bind:
        raise Failure(f"mount {entry.get('type')} on /proc: only a proc filesystem may be there", where=pointer)
    if destination.startswith("/proc/") and destination not in PROC_FILES:
        raise Failure(f"mount on {destination}: nothing may be mounted inside /proc", where=pointer)
    if wish.bind and not wish.remount and not entry.get("source"):
        raise Failure(f"bind mount on {destination}: nothing is named to be bound", where=f"{pointer}/source")
    if wish.bind and not wish.remount and wish.data:
        what = f"bind mount on {destination}: a bind takes no option of a filesystem: {', '.join(wish.data)}"
        raise Failure(what, where=f"{pointer}/options")
    if wish.tmpcopyup and (wish.bind or wish.remount or entry.get("type") != "tmpfs"):
        raise Failure(f"mount on {destination}: tmpcopyup fills a new tmpfs only", where=f"{pointer}/options")
    if (wish.idmap or entry.get("uidMappings")) and (wish.remount or entry.get("type") == "cgroup"):
        what = "a remount" if wish.remount else "a mount of type cgroup"
        raise Failure(f"mount on {destination}: the ids of {what} cannot be mapped", where=pointer)
    unheard = [option for option in entry.get("options") or () if option in _UNHEARD]
    if unheard:
        log.warning(f"{pointer}/options: left to the filesystem, which cannot be told: {', '.join(unheard)}")
    ignored = [*wish.keys, *(wish.data if wish.remount else ())] if wish.bind else []
    if ignored:
        log.warning(f"{pointer}/options: a bind mount leaves its filesystem as it is: ignoring {', '.join(ignored)}")
