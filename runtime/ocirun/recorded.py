"""What a container's record may hold: a record that was damaged is told by its member, before anybody acts on it.

A member that is absent has its empty value, so that a record of an earlier release can be read; one that is unknown, of
a later release, is kept as it is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    Record = dict[str, Any]
    Check = Callable[[Any], bool]

PHASES: Final = ("creating", "created", "running")
_DRIVERS: Final = ("v1", "v2", "")


def _text(value: Any) -> bool:
    return value.__class__ is str


def _number(value: Any) -> bool:
    return value.__class__ is int and value >= 0


def _flag(value: Any) -> bool:
    return value.__class__ is bool


def _list(value: Any, item: Check) -> bool:
    return value.__class__ is list and all(map(item, value))


def _texts(value: Any) -> bool:
    return _list(value, _text)


def _map(value: Any, item: Check) -> bool:
    return value.__class__ is dict and all(map(item, value.values()))


def _shaped(value: Any, members: dict[str, Check]) -> bool:
    """An object with these members at least."""
    return value.__class__ is dict and all(name in value and fits(value[name]) for name, fits in members.items())


def _hook(value: Any) -> bool:
    members: dict[str, Check] = {"path": _text}
    members |= {name: fits for name, fits in _HOOK.items() if value.__class__ is dict and name in value}
    return _shaped(value, members)


def _place(value: Any) -> bool:
    """SECURITY: an absolute path that is not the root: what is in a container's cgroup is killed."""
    return _text(value) and value[:1] == "/" and bool(value.strip("/"))


def _cgroup(value: Any) -> bool:
    if not _shaped(value, _CGROUP) or value["driver"] not in _DRIVERS:
        return False
    if value.get("owners") and ("unified" not in value["paths"] or not _map(value["owners"], _number)):
        return False
    return not value.get("unit") or _shaped(value, {"unit": _text, "user": _flag})


def _launch(value: Any) -> bool:
    if value.__class__ is not list or not value or not _number(value[0]):
        return False
    return all(_texts(step) and len(step) == 2 for step in value[1:])


_CGROUP: Final[dict[str, Check]] = {
    "driver": _text,
    "paths": lambda value: _map(value, _place),
    "made": lambda value: _list(value, _place),
}
_HOOK: Final[dict[str, Check]] = {"args": _texts, "env": _texts, "timeout": _number}
_DEVICE: Final[dict[str, Check]] = {
    "name": _text, "index": _number, "up": _flag, "addresses": _texts, "travels": _text, "at": _number, "path": _text,
    "inode": _number,
}  # fmt: skip
_CLASS: Final[dict[str, Check]] = {"group": _text, "monitor": _text, "made": _flag, "named": _flag}
_MEMBERS: Final[dict[str, tuple[Check, Any]]] = {
    "id": (_text, ""),
    "phase": (lambda value: value in PHASES, PHASES[0]),
    "creator": (lambda value: _list(value, _number) and len(value) == 2, [0, 0]),
    "pid": (_number, 0),
    "start": (_number, 0),
    "bundle": (_text, ""),
    "rootfs": (_text, ""),
    "created": (_text, ""),
    "owner": (_number, 0),
    "program": (_flag, True),
    "annotations": (lambda value: _map(value, _text), {}),
    "hooks": (lambda value: _map(value, lambda each: _list(each, _hook)), {}),
    "cgroup": (lambda value: value is None or _cgroup(value), None),
    "listener": (lambda value: value is None or (_texts(value) and len(value) == 2), None),
    "notify": (_flag, False),
    "launch": (_launch, [0]),
    "netDevices": (lambda value: _list(value, lambda each: _shaped(each, _DEVICE)), []),
    "intelRdt": (lambda value: value is None or _shaped(value, _CLASS), None),
}
"""Name -> what it has to be, and what it is when it is absent."""


def completed(record: Record) -> tuple[Record, str]:
    """The record with every member, and the first that is not what it has to be ("" when all are): its empty value
    stands for that.
    """
    wrong = ""
    for name, (fits, empty) in _MEMBERS.items():
        if name not in record:
            record[name] = empty
        elif not fits(record[name]):
            wrong = wrong or name
            record[name] = empty
    return record, wrong
