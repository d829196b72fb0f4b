"""The filesystem-independent mount options of config.md and what each of them means to the kernel. Hot.

An option has one of these kinds:

    flag         an attribute of the mount: MOUNT_ATTR_* for fsmount(2) and mount_setattr(2), MS_* for mount(2)
    recursive    the same with AT_RECURSIVE, for every mount below as well
    propagation  MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, with MS_REC for the r-forms
    superblock   a property of the filesystem; `key` is its FSCONFIG_SET_FLAG name, empty where fsconfig(2) has none
    bind, rbind, remount, tmpcopyup, idmap, ridmap, defaults
                 what the name says: the runtime acts on them, no bit stands for them alone

`CUSTOM` has more words that mount(8) knows: it keeps them from the kernel, and so does `find`. Whatever is in neither
table is for the filesystem itself (config.md, Linux mount options). `ro` and `rw` are flags that
also carry a key, because a filesystem of its own may be made read-only as well.

Times of access are one field of three values, not three bits (linux/mount.h, MOUNT_ATTR__ATIME): MOUNT_ATTR_RELATIME is
0, so an option that undoes another, such as `atime`, lists in `attr_clear` the value that it undoes. `norelatime`
undoes an earlier `relatime`, and asks for nothing by itself. `attributes` does the arithmetic; mount_setattr(2) wants
the whole field in attr_clr whenever one of its values changes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MOUNT_ATTR_RDONLY = 0x00000001
MOUNT_ATTR_NOSUID = 0x00000002
MOUNT_ATTR_NODEV = 0x00000004
MOUNT_ATTR_NOEXEC = 0x00000008
MOUNT_ATTR__ATIME = 0x00000070
MOUNT_ATTR_RELATIME = 0x00000000
MOUNT_ATTR_NOATIME = 0x00000010
MOUNT_ATTR_STRICTATIME = 0x00000020
MOUNT_ATTR_NODIRATIME = 0x00000080
MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_NOSYMFOLLOW = 0x00200000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_SILENT = 32768
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

FLAG = "flag"
RECURSIVE = "recursive"
PROPAGATION = "propagation"
SUPERBLOCK = "superblock"
BIND = "bind"
RBIND = "rbind"
REMOUNT = "remount"
TMPCOPYUP = "tmpcopyup"
IDMAP = "idmap"
RIDMAP = "ridmap"
DEFAULTS = "defaults"


class MountOption:
    """One row of the table; bits that do not apply are 0, a name that does not apply is empty."""

    __slots__ = ("attr_clear", "attr_set", "key", "kind", "ms_clear", "ms_set")

    def __init__(
        self, kind: str, attr_set: int = 0, attr_clear: int = 0, ms_set: int = 0, ms_clear: int = 0, key: str = ""
    ) -> None:
        self.kind = kind
        self.attr_set = attr_set
        self.attr_clear = attr_clear
        self.ms_set = ms_set
        self.ms_clear = ms_clear
        self.key = key


# name, MOUNT_ATTR_* set, MOUNT_ATTR_* cleared, MS_* set, MS_* cleared; each also exists with an "r" in front.
_ATTRIBUTES = (
    ("ro", MOUNT_ATTR_RDONLY, 0, MS_RDONLY, 0),
    ("rw", 0, MOUNT_ATTR_RDONLY, 0, MS_RDONLY),
    ("nosuid", MOUNT_ATTR_NOSUID, 0, MS_NOSUID, 0),
    ("suid", 0, MOUNT_ATTR_NOSUID, 0, MS_NOSUID),
    ("nodev", MOUNT_ATTR_NODEV, 0, MS_NODEV, 0),
    ("dev", 0, MOUNT_ATTR_NODEV, 0, MS_NODEV),
    ("noexec", MOUNT_ATTR_NOEXEC, 0, MS_NOEXEC, 0),
    ("exec", 0, MOUNT_ATTR_NOEXEC, 0, MS_NOEXEC),
    ("nodiratime", MOUNT_ATTR_NODIRATIME, 0, MS_NODIRATIME, 0),
    ("diratime", 0, MOUNT_ATTR_NODIRATIME, 0, MS_NODIRATIME),
    ("nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0, MS_NOSYMFOLLOW, 0),
    ("symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW, 0, MS_NOSYMFOLLOW),
    ("relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME, MS_RELATIME, 0),
    ("norelatime", 0, 0, 0, MS_RELATIME),
    ("noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, MS_NOATIME, 0),
    ("atime", 0, MOUNT_ATTR_NOATIME, 0, MS_NOATIME),
    ("strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME, MS_STRICTATIME, 0),
    ("nostrictatime", 0, MOUNT_ATTR_STRICTATIME, 0, MS_STRICTATIME),
)

_SUPERBLOCK = (
    ("sync", "sync", MS_SYNCHRONOUS, 0),
    ("async", "async", 0, MS_SYNCHRONOUS),
    ("dirsync", "dirsync", MS_DIRSYNC, 0),
    ("lazytime", "lazytime", MS_LAZYTIME, 0),
    ("nolazytime", "nolazytime", 0, MS_LAZYTIME),
    ("mand", "mand", MS_MANDLOCK, 0),
    ("nomand", "nomand", 0, MS_MANDLOCK),
    ("iversion", "", MS_I_VERSION, 0),
    ("noiversion", "", 0, MS_I_VERSION),
    ("silent", "", MS_SILENT, 0),
    ("loud", "", 0, MS_SILENT),
)

_PROPAGATION = (
    ("shared", MS_SHARED),
    ("slave", MS_SLAVE),
    ("private", MS_PRIVATE),
    ("unbindable", MS_UNBINDABLE),
)


def _table() -> dict[str, MountOption]:
    table: dict[str, MountOption] = {}
    for name, attr_set, attr_clear, ms_set, ms_clear in _ATTRIBUTES:
        key = name if name in ("ro", "rw") else ""
        table[name] = MountOption(FLAG, attr_set, attr_clear, ms_set, ms_clear, key)
        table["r" + name] = MountOption(RECURSIVE, attr_set, attr_clear)
    for name, key, ms_set, ms_clear in _SUPERBLOCK:
        table[name] = MountOption(SUPERBLOCK, 0, 0, ms_set, ms_clear, key)
    for name, flag in _PROPAGATION:
        table[name] = MountOption(PROPAGATION, ms_set=flag)
        table["r" + name] = MountOption(PROPAGATION, ms_set=flag | MS_REC)
    table[BIND] = MountOption(BIND, ms_set=MS_BIND)
    table[RBIND] = MountOption(RBIND, ms_set=MS_BIND | MS_REC)
    table[REMOUNT] = MountOption(REMOUNT, ms_set=MS_REMOUNT)
    table[IDMAP] = MountOption(IDMAP, attr_set=MOUNT_ATTR_IDMAP)
    table[RIDMAP] = MountOption(RIDMAP, attr_set=MOUNT_ATTR_IDMAP)
    table[TMPCOPYUP] = MountOption(TMPCOPYUP)
    table[DEFAULTS] = MountOption(DEFAULTS)
    return table


OPTIONS: dict[str, MountOption] = _table()

_OWNED = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
_PLAIN = MountOption(DEFAULTS)

CUSTOM: dict[str, MountOption] = {
    **dict.fromkeys(("auto", "noauto", "_netdev", "nouser", "noowner", "nogroup"), _PLAIN),
    **dict.fromkeys(("owner", "group"), MountOption(FLAG, _OWNED)),
    **dict.fromkeys(("user", "users"), MountOption(FLAG, _OWNED | MOUNT_ATTR_NOEXEC)),
}
"""What mount(8) knows of fstab(5): who may mount, and when; to be mounted by other users implies some flags."""


def find(name: str) -> MountOption | None:
    """What a word means, or None for one that is the filesystem's; ``x-`` and ``comment=`` begin remarks."""
    option = OPTIONS.get(name) or CUSTOM.get(name)
    return _PLAIN if option is None and name.startswith(("x-", "comment=")) else option


def attributes(options: Iterable[str], kind: str = FLAG) -> tuple[int, int]:
    """(attr_set, attr_clr) of mount_setattr(2) for those options that are of the kind, FLAG or RECURSIVE.

    A later option wins over an earlier one. Without an option about times of access that field is left alone.
    """
    to_set = to_clear = atime = 0
    atime_changes = False
    for name in options:
        option = find(name)
        if option is None or option.kind != kind:
            continue
        if name.endswith("norelatime"):
            atime_changes = atime_changes and atime != MOUNT_ATTR_RELATIME
        elif name.endswith("atime") and not name.endswith("diratime"):
            atime_changes = True
            if option.attr_clear == MOUNT_ATTR__ATIME:
                atime = option.attr_set
            elif atime == option.attr_clear:
                atime = MOUNT_ATTR_RELATIME
        else:
            to_set = to_set & ~option.attr_clear | option.attr_set
            to_clear = to_clear & ~option.attr_set | option.attr_clear
    if atime_changes:
        return to_set | atime, to_clear | MOUNT_ATTR__ATIME
    return to_set, to_clear
