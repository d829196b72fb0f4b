"""Properties of features.md and features-linux.md; all but the two versions may be null (features.md)."""

from __future__ import annotations

from .linux import NAMESPACE_TYPES
from .row import Property, Section
from .seccomp import ACTIONS, ARCHITECTURES, FLAGS, OPERATORS

_versions = Section("", "features", "1.1.0")
_top = Section("", "features", "1.1.0", nullable=True)
_linux = Section("/linux", "features", "1.1.0", nullable=True)

ROWS: tuple[Property, ...] = (
    _versions.object("", "ociVersionMin", "ociVersionMax"),
    _versions.string("/ociVersionMin"),
    _versions.string("/ociVersionMax"),
    *_top.strings("/hooks"),
    *_top.strings("/mountOptions"),
    *_top.string_map("/annotations"),
    *_top.strings("/potentiallyUnsafeConfigAnnotations", since="1.2.0"),
    _linux.object(""),
    *_linux.choices("/namespaces", NAMESPACE_TYPES),
    *_linux.strings("/capabilities", "capability"),
    _linux.object("/cgroup"),
    _linux.boolean("/cgroup/v1"),
    _linux.boolean("/cgroup/v2"),
    _linux.boolean("/cgroup/systemd"),
    _linux.boolean("/cgroup/systemdUser"),
    _linux.boolean("/cgroup/rdma"),
    _linux.object("/seccomp"),
    _linux.boolean("/seccomp/enabled"),
    *_linux.choices("/seccomp/actions", ACTIONS),
    *_linux.choices("/seccomp/operators", OPERATORS),
    *_linux.choices("/seccomp/archs", ARCHITECTURES),
    *_linux.choices("/seccomp/knownFlags", FLAGS),
    *_linux.choices("/seccomp/supportedFlags", FLAGS),
    _linux.object("/apparmor"),
    _linux.boolean("/apparmor/enabled"),
    _linux.object("/selinux"),
    _linux.boolean("/selinux/enabled"),
    _linux.object("/memoryPolicy", since="1.3.0"),
    *_linux.strings("/memoryPolicy/modes", since="1.3.0"),
    *_linux.strings("/memoryPolicy/flags", since="1.3.0"),
    _linux.object("/intelRdt"),
    _linux.boolean("/intelRdt/enabled"),
    _linux.boolean("/intelRdt/schemata", "1.3.0"),
    _linux.boolean("/intelRdt/monitoring", "1.3.0"),
    _linux.object("/mountExtensions", since="1.2.0"),
    _linux.object("/mountExtensions/idmap", since="1.2.0"),
    _linux.boolean("/mountExtensions/idmap/enabled", "1.2.0"),
    _linux.object("/netDevices", since="1.3.0"),
    _linux.boolean("/netDevices/enabled", "1.3.0"),
)
