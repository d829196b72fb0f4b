"""What one row of the property table says, and the vocabulary that rows may use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["object", "map", "array", "string", "integer", "number", "boolean", "opaque"]
Status = Literal["applied", "refused"]

OWNERS = frozenset(
    [
        "root",
        "mounts",
        "process",
        "credentials",
        "capabilities",
        "rlimits",
        "scheduler",
        "oom",
        "lsm",
        "console",
        "hostname",
        "hooks",
        "annotations",
        "namespaces",
        "idmap",
        "timens",
        "devices",
        "cgroup",
        "sysctl",
        "seccomp",
        "masks",
        "rootfs",
        "netdevices",
        "intelrdt",
        "memorypolicy",
        "personality",
        "keyring",
        "state",
        "features",
        "events",
        "bundle",
    ]
)

# Integer ranges by the names that the specification's text uses.
RANGES: dict[str, tuple[int, int]] = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint16": (0, (1 << 16) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}


@dataclass(frozen=True, slots=True)
class Property:
    """One property.

    `pointer` is a JSON pointer in which `*` stands for any array index or any key of a map. `kind` "map" is an object
    with free keys, "opaque" an object nobody looks into. `required` names members of an object that must be there.
    `status` is what the runtime does with the property; a `reason` explains "refused", or the condition under which
    "applied" holds.
    """

    pointer: str
    kind: Kind
    owner: str
    since: str
    status: Status = "applied"
    reason: str = ""
    required: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    pattern: str = ""
    min_items: int = 0
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Makes the rows of one owner under one pointer; paths given to its methods are relative to `at`."""

    at: str
    owner: str
    since: str = "1.0.0"
    status: Status = "applied"
    reason: str = ""
    nullable: bool = False

    def _row(self, path: str, kind: Kind, since: str) -> Property:
        return Property(
            self.at + path, kind, self.owner, since or self.since, self.status, self.reason, nullable=self.nullable
        )

    def object(self, path: str, *required: str, since: str = "") -> Property:
        """An object; `required` are the members that must be there."""
        return replace(self._row(path, "object", since), required=required)

    def map(self, path: str, since: str = "") -> Property:
        """An object with free keys, whose values the row `/*` describes."""
        return self._row(path, "map", since)

    def opaque(self, path: str, since: str = "") -> Property:
        """An object that is not looked into."""
        return self._row(path, "opaque", since)

    def array(self, path: str, min_items: int = 0, since: str = "") -> Property:
        """An array, whose items the row `/*` describes."""
        return replace(self._row(path, "array", since), min_items=min_items)

    def string(self, path: str, pattern: str = "", since: str = "") -> Property:
        """A string, restricted by the name of a pattern in `tree.PATTERNS` if that is given."""
        return replace(self._row(path, "string", since), pattern=pattern)

    def choice(self, path: str, choices: tuple[str, ...], since: str = "") -> Property:
        """A string out of a list."""
        return replace(self._row(path, "string", since), choices=choices)

    def boolean(self, path: str, since: str = "") -> Property:
        """A boolean."""
        return self._row(path, "boolean", since)

    def number(self, path: str, since: str = "") -> Property:
        """A number that need not be whole."""
        return self._row(path, "number", since)

    def integer(self, path: str, range_name: str, since: str = "") -> Property:
        """An integer in one of `RANGES`."""
        low, high = RANGES[range_name]
        return self.within(path, low, high, since)

    def within(self, path: str, low: int, high: int, since: str = "") -> Property:
        """An integer between two bounds, both included."""
        return replace(self._row(path, "integer", since), low=low, high=high)

    def strings(self, path: str, pattern: str = "", since: str = "") -> tuple[Property, Property]:
        """An array of strings: the rows of the array and of its items."""
        return self.array(path, since=since), self.item(self.string(path + "/*", pattern, since))

    def choices(self, path: str, choices: tuple[str, ...], since: str = "") -> tuple[Property, Property]:
        """An array of strings out of a list."""
        return self.array(path, since=since), self.item(self.choice(path + "/*", choices, since))

    def string_map(self, path: str, since: str = "") -> tuple[Property, Property]:
        """An object from free keys to strings."""
        return self.map(path, since=since), self.item(self.string(path + "/*", since=since))

    def mappings(self, path: str, since: str = "") -> tuple[Property, ...]:
        """An array of user namespace mappings (config-linux.md, User namespace mappings)."""
        return (
            self.array(path, since=since),
            self.object(path + "/*", "containerID", "hostID", "size", since=since),
            self.integer(path + "/*/containerID", "uint32", since),
            self.integer(path + "/*/hostID", "uint32", since),
            self.integer(path + "/*/size", "uint32", since),
        )

    @staticmethod
    def item(row: Property) -> Property:
        """An element is never null, even where the array that holds it may be."""
        return replace(row, nullable=False)


def but(row: Property, status: Status, reason: str) -> Property:
    """The same row with another status than the rest of its section."""
    return replace(row, status=status, reason=reason)
