"""linux.resources.devices on cgroup v1: devices.allow and devices.deny.

The kernel keeps one of two states: everything denied but a list, or everything allowed but a list. It ignores numbers
and access of a rule of type ``a``, and a rule removes from the list only what it equals. So the rules are first
folded into that state, the last one winning, and then written; what the state cannot express is refused.

SECURITY: without any rule everything but the usual devices is denied (GHSA-g54h-m393-cpwq).
"""

from __future__ import annotations

from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Entry = tuple[str, int, int]

ANY: Final = -1
POINTER: Final = "/linux/resources/devices"
USUAL: Final[tuple[tuple[str, int, int, str], ...]] = (
    ("c", ANY, ANY, "m"),  # making a node gives no access to the device
    ("b", ANY, ANY, "m"),
    ("c", 1, 3, "rwm"),  # null
    ("c", 1, 5, "rwm"),  # zero
    ("c", 1, 7, "rwm"),  # full
    ("c", 1, 8, "rwm"),  # random
    ("c", 1, 9, "rwm"),  # urandom
    ("c", 5, 0, "rwm"),  # tty
    ("c", 5, 2, "rwm"),  # ptmx
    ("c", 136, ANY, "rwm"),  # pts/*, so /dev/console, which is one of them
    ("c", 10, 200, "rwm"),  # net/tun
)
"""Allowed as if they stood behind the last rule about everything, so that a rule which names one of them wins."""
UNRESTRICTED: Final = [("devices.allow", "a")]
"""What `writes` gives for a privileged container."""


class Rule:
    """One rule: `kind` is ``a``, ``b`` or ``c``, `major` and `minor` a number or ANY, `access` a part of ``rwm``."""

    __slots__ = ("access", "allow", "kind", "major", "minor", "pointer")

    def __init__(self, allow: bool, kind: str, major: int, minor: int, access: str, pointer: str) -> None:
        self.allow = allow
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access
        self.pointer = pointer

    @property
    def general(self) -> bool:
        """Whether it is about each device."""
        return self.kind == "a" and self.major == self.minor == ANY

    @property
    def everything(self) -> bool:
        """Whether it covers each access to each device."""
        return self.general and self.access == "rwm"


def rules(resources: dict[str, Any]) -> list[Rule]:
    """The configured rules in order, with the usual devices behind the last one about everything.

    An absent member means all.
    """
    found = []
    for at, entry in enumerate(resources.get("devices") or ()):
        pointer = f"{POINTER}/{at}"
        access = "".join(letter for letter in "rwm" if letter in (entry.get("access") or "rwm"))
        kind = {"": "a", "u": "c"}.get(entry.get("type") or "", entry.get("type") or "a")
        if kind not in ("a", "b", "c"):
            raise Failure(f"a device rule has the type a, b or c, not {kind}", where=f"{pointer}/type")
        found.append(Rule(entry["allow"], kind, _number(entry, "major"), _number(entry, "minor"), access, pointer))
    general = max((at for at, rule in enumerate(found, 1) if rule.general), default=0)
    found[general:general] = [Rule(True, *usual, POINTER) for usual in USUAL]
    return found


def _number(entry: dict[str, Any], member: str) -> int:
    value: int | None = entry.get(member)
    return ANY if value is None or value < 0 else value


def fold(given: list[Rule]) -> tuple[bool, dict[Entry, str]]:
    """The state after all rules: whether the rest is allowed, and the exceptions with their access."""
    allowed = False
    exceptions: dict[Entry, str] = {}
    for rule in given:
        if rule.everything:
            allowed, exceptions = rule.allow, {}
            continue
        for kind in ("b", "c") if rule.kind == "a" else (rule.kind,):
            entry = (kind, rule.major, rule.minor)
            if rule.allow != allowed:
                both = exceptions.get(entry, "") + rule.access
                exceptions[entry] = "".join(letter for letter in "rwm" if letter in both)
            else:
                _withdraw(exceptions, entry, rule)
    return allowed, exceptions


def _withdraw(exceptions: dict[Entry, str], entry: Entry, rule: Rule) -> None:
    """Take what `rule` covers out of the exceptions; an exception that it covers partly cannot be expressed."""
    for other in list(exceptions):
        shared = [letter for letter in exceptions[other] if letter in rule.access]
        if not shared or not _overlap(entry, other):
            continue
        if not _covers(entry, other):
            if shared == ["m"] and rule.access != "m":
                continue  # a node that cannot be opened is harmless, and engines deny single devices with rwm
            word = "allow" if rule.allow else "deny"
            what = f"cgroup v1 cannot {word} {text(entry)} alone, as {text(other)} has a rule of its own before it"
            raise Failure(what, where=rule.pointer)
        left = "".join(letter for letter in exceptions[other] if letter not in shared)
        if left:
            exceptions[other] = left
        else:
            del exceptions[other]


def _overlap(one: Entry, other: Entry) -> bool:
    numbers = zip(one[1:], other[1:], strict=True)
    return one[0] == other[0] and all(a == b or ANY in (a, b) for a, b in numbers)


def _covers(one: Entry, other: Entry) -> bool:
    numbers = zip(one[1:], other[1:], strict=True)
    return one[0] == other[0] and all(a in (b, ANY) for a, b in numbers)


def text(entry: Entry) -> str:
    """An entry as the kernel writes it: ``c 10:*``."""
    kind, major, minor = entry
    return f"{kind} {'*' if major == ANY else major}:{'*' if minor == ANY else minor}"


def writes(given: list[Rule]) -> list[tuple[str, str]]:
    """(file, value) in order: first the state of the rest, which clears the list, then the exceptions."""
    return written(fold(given))


def written(state: tuple[bool, dict[Entry, str]]) -> list[tuple[str, str]]:
    """The same for a folded state."""
    allowed, exceptions = state
    first, second = ("devices.allow", "devices.deny") if allowed else ("devices.deny", "devices.allow")
    return [(first, "a"), *((second, f"{text(entry)} {access}") for entry, access in exceptions.items())]
