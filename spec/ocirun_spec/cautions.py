"""What the specification tells a runtime to ignore although the author hardly meant it. Cold, but without a schema.

Unknown properties are looked for at run time too, once the fast check has seen that there are some: so this module
imports little.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from . import properties, version
from .mount_options import OPTIONS, find
from .names import CAPABILITIES
from .positions import Positions, escape
from .problem import Problem, did_you_mean
from .tree import Node, build

if TYPE_CHECKING:
    from collections.abc import Iterator


def unknown(text: str, source: str, config: object, base: str = "") -> list[Problem]:
    """The unknown properties of a document: a config, or with `base` ``/process`` what stands there in one."""
    cautions = Cautions(source, Positions(text))
    node = build(properties.CONFIG)
    for name in base.split("/")[1:]:
        node = node.members[name]
    return list(cautions.unknown(config, node, ""))


class Cautions:
    """Finds them in one text."""

    def __init__(self, source: str, positions: Positions) -> None:
        self.source = source
        self.positions = positions

    def all(self, config: object) -> Iterator[Problem]:
        """Problems of severity "warning": ignored by the runtime, as the specification asks."""
        root = build(properties.CONFIG)
        if isinstance(config, dict):
            yield from self.unknown(config, root, "")
            yield from self._newer(config)
            yield from self._capabilities(config)
            yield from self._destinations(config)
            yield from self._options(config)

    def unknown(self, value: object, node: Node, pointer: str) -> Iterator[Problem]:
        """The members, of this value and all below it, that the table does not have."""
        if isinstance(value, dict) and node.row.kind in ("object", "map"):
            for key, item in value.items():
                member = node.members.get(key, node.item)
                place = f"{pointer}/{escape(key)}"
                if member is not None:
                    yield from self.unknown(item, member, place)
                else:
                    yield self._unknown_property(key, node, place)
        elif isinstance(value, list) and node.item is not None:
            for index, item in enumerate(value):
                yield from self.unknown(item, node.item, f"{pointer}/{index}")

    def _unknown_property(self, key: str, node: Node, place: str) -> Problem:
        line, column = self.positions.key_line_column(place)
        hint = did_you_mean(key, node.members) or _elsewhere(key)
        message = "unknown property, it is ignored"
        return Problem(self.source, line, column, place, message, hint=hint, severity="warning")

    def _at_value(self, pointer: str, message: str, hint: str = "") -> Problem:
        line, column = self.positions.line_column(pointer)
        return Problem(self.source, line, column, pointer, message, hint=hint, severity="warning")

    def _newer(self, config: dict[str, Any]) -> Iterator[Problem]:
        text = config.get("ociVersion")
        if isinstance(text, str) and version.is_newer(text) and text.startswith("1."):
            newest = version.OCI_VERSION_MAX
            yield self._at_value("/ociVersion", f"what the specification has added since {newest} is not applied")

    def _capabilities(self, config: dict[str, Any]) -> Iterator[Problem]:
        for pointer, name in _strings(config, ("process", "capabilities"), 2):
            if name not in CAPABILITIES:
                message = f'the capability "{name}" is unknown, it is not granted'
                yield self._at_value(pointer, message, like_a_capability(name))

    def _destinations(self, config: dict[str, Any]) -> Iterator[Problem]:
        for pointer, path in _strings(config, ("mounts",), 2):
            if pointer.endswith("/destination") and path and not path.startswith("/"):
                message = f'the relative destination "{path}" counts from /, which the specification deprecates'
                yield self._at_value(pointer, message, f"write /{path}")

    def _options(self, config: dict[str, Any]) -> Iterator[Problem]:
        for pointer, name in _strings(config, ("mounts",), 3):
            if "/options/" not in pointer or find(name) or "=" in name:
                continue
            close = difflib.get_close_matches(name, OPTIONS, 1, 0.85)
            if close:
                message = f'the option "{name}" is left to the filesystem'
                yield self._at_value(pointer, message, f"did you mean {close[0]}?")


def like_a_capability(name: str) -> str:
    """A hint that names the capability that may be meant, or ""."""
    return did_you_mean(name, CAPABILITIES) or did_you_mean("CAP_" + name, CAPABILITIES)


def _elsewhere(key: str) -> str:
    """A hint that a property of this name belongs to another object."""
    places = [row.pointer for row in properties.CONFIG if row.pointer.endswith("/" + key) and "*" not in row.pointer]
    return f"the specification has {places[0]}" if len(places) == 1 else ""


def _strings(config: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, str]]:
    """The strings exactly `depth` levels below a member of the config, with their pointers."""
    value = config
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    level = [("/" + "/".join(path), value)]
    for _ in range(depth):
        level = [
            (f"{pointer}/{escape(str(key))}", item)
            for pointer, parent in level
            if isinstance(parent, (dict, list))
            for key, item in (parent.items() if isinstance(parent, dict) else enumerate(parent))
        ]
    yield from ((pointer, item) for pointer, item in level if isinstance(item, str))
