"""A mount of type ``cgroup``: what has to be mounted so that the container sees its own cgroups and no other's.

    v1, hybrid   a tmpfs with a directory for each hierarchy; links for the controllers that share one
    v2           the cgroup2 itself

With a cgroup namespace of its own the container mounts the filesystems, whose roots are then its cgroups. Without one,
its cgroups' directories are bound from the host.

SECURITY: bound directories of a cgroup2 are read-only for a rootless container, where writing to them is writing to the
caller's own cgroups on the host (CVE-2023-25809).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.facts import Facts

    Deed = tuple[str, str, str, tuple[str, ...], bool]

BIND: Final = "bind"
FILESYSTEM: Final = "fs"
SYMLINK: Final = "symlink"
_TMPFS_OPTIONS: Final = ("mode=755",)


def own_namespace(config: dict[str, Any]) -> bool:
    """Whether the container gets a cgroup namespace that is not the runtime's."""
    return any(entry["type"] == "cgroup" for entry in (config.get("linux") or {}).get("namespaces") or ())


def is_writable(config: dict[str, Any]) -> bool:
    """Whether the container gets a cgroup namespace made for it, and its cgroups in the usual place to write to."""
    named = (config.get("linux") or {}).get("namespaces") or ()
    return any(entry["type"] == "cgroup" and not entry.get("path") for entry in named) and any(
        mount["destination"] == "/sys/fs/cgroup"
        and mount.get("source") == "cgroup"
        and mount.get("type") in ("cgroup", "cgroup2")
        and not {"ro", "rro"}.intersection(mount.get("options") or ())
        for mount in config.get("mounts") or ()
    )


def describe(facts: Facts, config: dict[str, Any], record: dict[str, Any] | None) -> list[Deed]:
    """What to do, in order: (kind, destination, source, options, readonly).

    destination: relative to the mount's own; "" is that itself. Make the directory, when it is below the tmpfs.
    kind:        ``bind``: source is an absolute host path. ``fs``: source is the filesystem's type, options are its
                 parameters (``key=value`` or a flag), mounted by the container in its own cgroup namespace.
                 ``symlink``: source is the link's text.
    readonly:    whatever the mount's options say. With the option ``ro`` all of it becomes read-only, the tmpfs last.

    An empty list: there is no cgroup to show.
    """
    found = facts.cgroups
    private = own_namespace(config)
    paths: dict[str, str] = (record or {}).get("paths") or {}
    if found.mode == "none":
        return []
    if found.unified and found.mode == "unified":
        return [_unified("", private, found.unified.mount, paths, facts)]
    deeds: list[Deed] = [(FILESYSTEM, "", "tmpfs", _TMPFS_OPTIONS, False)]
    for each in found.v1:
        name = _directory_name(each.mount, each.controllers)
        if private:
            options = tuple(part for controller in each.controllers for part in _v1_option(controller))
            deeds.append((FILESYSTEM, name, "cgroup", options, False))
        else:
            source = paths.get(each.controllers[0], f"{each.mount}{each.own}".rstrip("/"))
            deeds.append((BIND, name, source, (), each.controllers[0] not in paths))
        deeds += [(SYMLINK, other, name, (), False) for other in each.controllers if len(each.controllers) > 1]
    if found.unified:
        deeds.append(_unified("unified", private, found.unified.mount, paths, facts))
    return deeds


def _unified(destination: str, private: bool, mount: str, paths: dict[str, str], facts: Facts) -> Deed:
    if private:
        return (FILESYSTEM, destination, "cgroup2", (), False)
    guarded = facts.euid != 0 or not facts.initial_userns or "unified" not in paths
    return (BIND, destination, paths.get("unified", mount), (), guarded)


def _directory_name(mount: str, controllers: tuple[str, ...]) -> str:
    """The host's own name for it (``cpu,cpuacct``, ``systemd``), which programs know."""
    base = mount.rpartition("/")[2]
    if base == "systemd" or all(name in base.split(",") for name in controllers):
        return base
    return ",".join(name.partition("=")[2] or name for name in controllers)


def _v1_option(controller: str) -> tuple[str, ...]:
    """A named hierarchy is asked for by name, and has no controller, which has to be said."""
    return ("none", controller) if controller.startswith("name=") else (controller,)
