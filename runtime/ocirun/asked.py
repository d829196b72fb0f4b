"""What `update` is asked for, by options or by a JSON file: read, checked, and named again when it is refused."""

from __future__ import annotations

from ocirun import bundle
from ocirun.errors import Failure
from ocirun_spec import accept, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.cli import Arguments

    Range = tuple[int, int]

_BASE: Final = "/linux/resources"
_SIZE: Final = "size"
_TEXT: Final = "text"


_INT64: Final = (-(1 << 63), (1 << 63) - 1)
_UINT64: Final = (0, (1 << 64) - 1)
_UINT16: Final = (0, (1 << 16) - 1)

OPTIONS: Final[dict[str, tuple[str, Range | str]]] = {
    "blkio-weight": ("blockIO/weight", _UINT16),
    "cpu-period": ("cpu/period", _UINT64),
    "cpu-quota": ("cpu/quota", _INT64),
    "cpu-burst": ("cpu/burst", _UINT64),
    "cpu-share": ("cpu/shares", _UINT64),
    "cpu-rt-period": ("cpu/realtimePeriod", _UINT64),
    "cpu-rt-runtime": ("cpu/realtimeRuntime", _INT64),
    "cpuset-cpus": ("cpu/cpus", _TEXT),
    "cpuset-mems": ("cpu/mems", _TEXT),
    "cpu-idle": ("cpu/idle", _INT64),
    "memory": ("memory/limit", _SIZE),
    "memory-reservation": ("memory/reservation", _SIZE),
    "memory-swap": ("memory/swap", _SIZE),
    "kernel-memory": ("memory/kernel", _SIZE),
    "kernel-memory-tcp": ("memory/kernelTCP", _SIZE),
    "pids-limit": ("pids/limit", _INT64),
}
"""Option to its place in linux.resources, and what its value is."""
SCHEMAS: Final = {"l3-cache-schema": "l3CacheSchema", "mem-bw-schema": "memBwSchema"}
"""Option to its member of linux.intelRdt."""
_SIMILAR: Final = {"cpu/quota": "cpu/period", "memory/swap": "memory/limit", "cpu/shares": "cpu/idle"}
"""Whoever asks for the second may be told of the first, which is computed from it or written with it."""
_UNITS: Final = "bkmgtp"
_DIGITS: Final = 20


class Asked:
    """What is to be changed.

    resources: an accepted object of /linux/resources.
    schemas:   member of linux.intelRdt to its new text.
    """

    __slots__ = ("_source", "resources", "schemas")

    def __init__(self, resources: dict[str, Any], schemas: dict[str, str], source: str) -> None:
        self.resources = resources
        self.schemas = schemas
        self._source = source

    def place(self, where: str) -> str:
        """What people call the place that a refusal names: an option, or a file and a pointer into it."""
        pointer = where.removeprefix(f"{_BASE}/")
        if pointer == where:
            return where
        if self._source:
            return f"{self._source}: /{pointer}"
        named = {each: option for option, (each, _kind) in OPTIONS.items() if _has(self.resources, each)}
        option = named.get(pointer) or named.get(_SIMILAR.get(pointer, ""))
        return f"--{option}" if option else where


def read(arguments: Arguments) -> Asked:
    """Raises Failure for what cannot be understood, or contradicts itself."""
    given = {name: text for name in (*OPTIONS, *SCHEMAS) if (text := arguments.text(name))}
    schemas = {member: given.pop(option) for option, member in SCHEMAS.items() if option in given}
    path = arguments.text("resources")
    if not path:
        return _checked(Asked(_from_options(given), schemas, ""))
    if given:
        options = " and ".join(f"--{name}" for name in given)
        raise Failure(f"--resources says all limits, {options} cannot be given beside it")
    source = "standard input" if path == "-" else path
    return _checked(Asked(_from_file(path, source), schemas, source))


def _checked(asked: Asked) -> Asked:
    found: list[tuple[str, str]] = rules.check_resources(asked.resources)
    if found:
        raise Failure(found[0][1], where=asked.place(_BASE + found[0][0]))
    return asked


def _from_file(path: str, source: str) -> dict[str, Any]:
    what = "the resources"
    text, value = bundle.read_open_json(0, source, what) if path == "-" else bundle.read_json(path, what)
    strange: list[object] = []
    offence = accept.accept_resources(value, strange)
    if offence is not None:
        raise _explained(text, source, offence)
    if strange:
        bundle.warn_unknown(source, text, value, _BASE)
    resources: dict[str, Any] = value
    return resources


def _explained(text: str, source: str, pointer: str) -> Failure:
    """The problems in the words that a configuration's have: they are looked for in one with these resources."""
    from ocirun import cold, explained

    cold.enable()
    from dataclasses import replace

    head = '{"ociVersion": "1.0.0", "root": {"path": "/"}, "linux": {"resources":\n'
    found = [
        replace(each, line=each.line - 1, pointer=each.pointer.removeprefix(_BASE))
        for each in explained.problems(f"{head}{text}\n}}}}", source)
        if each.severity == "error" and each.pointer.startswith(_BASE)
    ]
    return bundle.told(found) if found else Failure("not acceptable", where=f"{source}: {pointer or '/'}")


def _from_options(given: dict[str, str]) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    for option, text in given.items():
        pointer, kind = OPTIONS[option]
        member, name = pointer.split("/")
        resources.setdefault(member, {})[name] = _value(option, text, kind)
    return resources


def _value(option: str, text: str, kind: Range | str) -> int | str:
    if isinstance(kind, str):
        return size(option, text) if kind == _SIZE else text
    least, most = kind
    digits = text.removeprefix("-")
    if not _is_digits(digits):
        raise Failure(f"{text!r} is not a whole number", where=f"--{option}")
    if len(digits) > _DIGITS or not least <= int(text) <= most:
        raise Failure(f"{text} is not between {least} and {most}", where=f"--{option}")
    return int(text)


def size(option: str, text: str) -> int:
    """Bytes: a number, perhaps with a fraction and a unit of b, k, m, g, t or p, also written kb or kib; -1: no limit.

    The units are powers of 1024, as in the command lines of Docker and runc (github.com/docker/go-units).
    """
    if text == "-1":
        return -1
    where = f"--{option}"
    rest = text.lower()
    number = rest.rstrip("bikmgtp ")
    unit = rest[len(number) :].removeprefix(" ")
    whole, point, fraction = number.partition(".")
    if not _is_digits(whole) or (point and not _is_digits(fraction)):
        hint = "-1 is no limit" if text.startswith("-") else ""
        raise Failure(f"{text!r} is not a size", where=where, hint=hint)
    if unit and (unit[0] not in _UNITS or unit[1:] not in ("", "b", "ib") or (unit[0] == "b" and unit != "b")):
        raise Failure(f"{text!r} is not a size: the units are b, k, m, g, t and p", where=where)
    if len(number) <= 2 * _DIGITS:
        factor = 1 << 10 * _UNITS.index(unit[0]) if unit else 1
        value = int(whole + fraction) * factor // int("1" + "0" * len(fraction))
        if value <= _INT64[1]:
            return value
    raise Failure(f"{text} is more than {_INT64[1]} bytes", where=where)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _has(resources: dict[str, Any], pointer: str) -> bool:
    member, name = pointer.split("/")
    return name in resources.get(member, {})
