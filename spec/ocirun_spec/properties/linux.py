"""Properties of config-linux.md except control groups and seccomp."""

from __future__ import annotations

from .row import Property, Section

NAMESPACE_TYPES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")

_linux = Section("/linux", "rootfs")
_namespaces = Section("/linux/namespaces", "namespaces")
_idmap = Section("/linux", "idmap")
_timens = Section("/linux/timeOffsets", "timens", "1.1.0")
_devices = Section("/linux/devices", "devices")
_masks = Section("/linux", "masks")
_label = Section("/linux", "lsm", reason="refused where SELinux is not enabled")
_netdevices = Section("/linux/netDevices", "netdevices", "1.3.0")
_intelrdt = Section("/linux/intelRdt", "intelrdt", "1.0.0")
_memorypolicy = Section("/linux/memoryPolicy", "memorypolicy", "1.3.0")
_personality = Section("/linux/personality", "personality", "1.0.2")

ROWS: tuple[Property, ...] = (
    _linux.object(""),
    _namespaces.array(""),
    _namespaces.object("/*", "type"),
    _namespaces.choice("/*/type", NAMESPACE_TYPES),
    _namespaces.string("/*/path"),
    *_idmap.mappings("/uidMappings"),
    *_idmap.mappings("/gidMappings"),
    _timens.map(""),
    _timens.object("/*"),
    _timens.integer("/*/secs", "int64"),
    # clock_gettime(2): a timespec holds less than a second of nanoseconds.
    _timens.within("/*/nanosecs", 0, 999_999_999),
    _devices.array(""),
    _devices.object("/*", "type", "path"),
    _devices.choice("/*/type", ("c", "b", "u", "p")),
    _devices.string("/*/path"),
    _devices.integer("/*/major", "int64"),
    _devices.integer("/*/minor", "int64"),
    # The text says uint32 and engines include the file type bits, so this is wider than the published schema's 0777.
    _devices.integer("/*/fileMode", "uint32"),
    _devices.integer("/*/uid", "uint32"),
    _devices.integer("/*/gid", "uint32"),
    *Section("/linux", "sysctl").string_map("/sysctl"),
    # The r-forms are not in the text; containerd and Podman write them and every runtime knows them.
    _linux.choice(
        "/rootfsPropagation",
        ("shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"),
    ),
    *_masks.strings("/maskedPaths"),
    *_masks.strings("/readonlyPaths"),
    _label.string("/mountLabel"),
    _netdevices.map(""),
    _netdevices.object("/*"),
    _netdevices.string("/*/name"),
    _intelrdt.object(""),
    _intelrdt.string("/closID", since="1.0.2"),
    _intelrdt.string("/l3CacheSchema"),
    _intelrdt.string("/memBwSchema", "MB line", "1.0.2"),
    *_intelrdt.strings("/schemata", "one line", "1.3.0"),
    _intelrdt.boolean("/enableMonitoring", "1.3.0"),
    _memorypolicy.object("", "mode"),
    _memorypolicy.choice(
        "/mode",
        (
            "MPOL_DEFAULT",
            "MPOL_BIND",
            "MPOL_INTERLEAVE",
            "MPOL_WEIGHTED_INTERLEAVE",
            "MPOL_PREFERRED",
            "MPOL_PREFERRED_MANY",
            "MPOL_LOCAL",
        ),
    ),
    _memorypolicy.string("/nodes"),
    *_memorypolicy.choices("/flags", ("MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES")),
    _personality.object("", "domain"),
    _personality.choice("/domain", ("LINUX", "LINUX32")),
    # config-linux.md, Personality: "Currently no flag values are supported", so that each is refused.
    *_personality.strings("/flags"),
)
