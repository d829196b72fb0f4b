"""User namespaces: may one be made here, and may the caller map the ids that the config wants?"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Any

from ocirun.checks.subject import Finding, planned, text_of
from ocirun.linux import devices, idmap, mounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun.checks.subject import Subject

_CAP_SETUID, _CAP_SYS_ADMIN = 7, 21
_NAMESPACES = "/linux/namespaces"
_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
)
"""What keeps a plain user from making a user namespace; the first one everybody."""


def check(subject: Subject) -> Iterator[Finding]:
    """Everything about user namespaces that the host decides."""
    plain = not subject.facts.effective >> _CAP_SYS_ADMIN & 1
    kind = subject.namespace("user")
    if kind is None and plain:
        hint = "ocirun spec --rootless shows a configuration"
        yield Finding(_NAMESPACES, "without root a user namespace is needed: operation not permitted", hint)
    if kind == "":
        for path, value in _SWITCHES if plain else _SWITCHES[:1]:
            if text_of(path).strip() == value:
                yield Finding(_NAMESPACES, "no user namespace can be made", f"{path} is {value}")
        if not subject.facts.effective >> _CAP_SETUID & 1:
            yield from _asked(subject.linux, "uid", subject.facts.euid)
            yield from _asked(subject.linux, "gid", os.getegid())
    yield from _devices(subject)


def _asked(linux: dict[str, Any], kind: str, own: int) -> Iterator[Finding]:
    """newuidmap(1) gives a plain user what /etc/subuid has for him, and his own id."""
    wanted = linux.get(f"{kind}Mappings") or []
    if not wanted or idmap.own_id_only(wanted, own):
        return
    tool, file = f"new{kind}map", f"/etc/sub{kind}"
    if not idmap.find_tool(tool):
        yield Finding(f"/linux/{kind}Mappings", f"{tool} is not installed", "install the package uidmap")
    granted = ranges(text_of(file), _names())
    for at, each in enumerate(wanted):
        first, size = each["hostID"], each["size"]
        if (first, size) == (own, 1) or any(low <= first and first + size <= low + count for low, count in granted):
            continue
        has = ", ".join(f"{low} to {low + count - 1}" for low, count in granted) or "nothing"
        pointer = f"/linux/{kind}Mappings/{at}/hostID"
        message = f"{size} ids from {first} on are not the caller's to map"
        yield Finding(pointer, message, f"{file} gives him {has}; root adds more with usermod --add-sub{kind}s")


def ranges(text: str, names: tuple[str, ...]) -> list[tuple[int, int]]:
    """(first id, count) of a user's lines in a text as subuid(5) has it."""
    found = []
    for line in text.splitlines():
        name, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if name in names and first.isdecimal() and count.isdecimal():
            found.append((int(first), int(count)))
    return found


def _names() -> tuple[str, ...]:
    """The caller's name and number."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name, str(number)
    except KeyError:
        return (str(number),)


def _devices(subject: Subject) -> list[Finding]:
    """Owners of devices are mapped, and what cannot be made is bound from the host."""
    userns = subject.namespace("user") is not None
    initial, may_mount = subject.facts.initial_userns, subject.facts.may_mount
    brought = mounts.provides(subject.config, "/dev")
    return planned(lambda: devices.plan(subject.config, initial and not userns, may_mount, initial, brought))
