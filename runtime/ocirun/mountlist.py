"""What `mounts` is asked for, by options or by a JSON file: read, checked, and named again when it is refused. Cold."""

from __future__ import annotations

import os

from ocirun import bundle
from ocirun.errors import Failure
from ocirun.kernel import files
from ocirun_spec import accept, jsontext, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.cli import Arguments

    Mount = dict[str, Any]

ADD: Final = "add"
REMOVE: Final = "remove"
_BASE: Final = "/mounts"
_FLAGS: Final = ("rnosuid", "rnodev")
_WAYS: Final = {"bind": ("rbind", *_FLAGS), "ro-bind": ("rbind", "rro", *_FLAGS)}
_TMPFS: Final = ("nosuid", "nodev", "mode=1777")
_OF: Final = {ADD: ("bind", "ro-bind", "tmpfs"), REMOVE: ("destination",)}
"""The options of each."""


class Asked:
    """The mounts, as in `mounts` of config.json; of those to be removed only the destination counts.

    In a file a relative source begins at the bundle, as there; on the command line at the current directory.
    """

    __slots__ = ("_array", "_named", "_source", "entries", "text")

    def __init__(self, named: list[tuple[str, Mount]], text: str = "", source: str = "", array: bool = True) -> None:
        self._named = [option for option, _entry in named]
        self.entries = [entry for _option, entry in named]
        self.text = text
        self._source = source
        self._array = array

    def place(self, where: str) -> str:
        """What people call the place that a refusal names: an option, or a file and a pointer into it."""
        pointer = where.removeprefix(_BASE)
        if pointer == where:
            return where
        if self._source:
            return f"{self._source}: {pointer if self._array else where}"
        return self._named[int(pointer.split("/")[1])]

    def check(self, linux: dict[str, Any]) -> None:
        """Refuse what a configuration may not have in a container of this `linux`; warn of unknown properties."""
        config = {"ociVersion": "1.0.0", "root": {"path": "/"}, "linux": _spaces(linux), "mounts": self.entries}
        strange: list[object] = []
        offence = accept.accept(config, strange)
        found: list[tuple[str, str]] = [] if offence is not None else rules.check(config)
        if offence is not None and self.text:
            raise self._explained(config, offence)
        if offence is not None or found:
            pointer, what = found[0] if found else (offence or "", "not acceptable")
            raise Failure(what, where=self.place(pointer))
        if strange:
            bundle.warn_unknown(self._source, self.text, {"mounts": self.entries})

    def _explained(self, config: dict[str, Any], pointer: str) -> Failure:
        """The problems in the words that a configuration's have: they are looked for in one with these mounts."""
        from ocirun import cold, explained

        cold.enable()
        from dataclasses import replace

        head = jsontext.dumps({name: value for name, value in config.items() if name != "mounts"})[:-1]
        text = f'{head}, "mounts":\n{self.text}\n}}' if self._array else self.text
        found = [
            replace(each, line=each.line - self._array, pointer=each.pointer.removeprefix(_BASE * self._array))
            for each in explained.problems(text, self._source)
            if each.severity == "error" and each.pointer.startswith(_BASE)
        ]
        return bundle.told(found) if found else Failure("not acceptable", where=self.place(pointer))


def _spaces(linux: dict[str, Any]) -> dict[str, Any]:
    """What the rules about mounts look at."""
    names = ("namespaces", "uidMappings", "gidMappings")
    return {name: linux[name] for name in names if linux.get(name)}


def read(arguments: Arguments) -> Asked:
    """Raises Failure for what cannot be understood, or contradicts itself."""
    deed, _ident, *rest = arguments.positionals
    if deed not in _OF:
        raise Failure(f"mounts takes add or remove, not {deed!r}")
    others = [f"--{name}" for name in arguments.values if name not in _OF[deed]]
    if others:
        raise Failure(f"{' and '.join(others)} cannot be given to mounts {deed}")
    given = _from_options(arguments)
    if rest and given:
        raise Failure("the mounts are those of the file or of options, not of both", where=rest[0])
    if not (rest or given):
        options = ", ".join(f"--{name}" for name in _OF[deed])
        raise Failure(f"nothing to {deed} is named", hint=f"name a file, or - for standard input, or use {options}")
    return _from_file(rest[0]) if rest else Asked(given)


def _from_file(path: str) -> Asked:
    what = "the mounts"
    source = "standard input" if path == "-" else path
    text, value = bundle.read_open_json(0, source, what) if path == "-" else bundle.read_json(path, what)
    array = not isinstance(value, dict)
    entries = value if array else value.get("mounts")
    if not isinstance(entries, list):
        raise Failure("it is neither an array of mounts nor an object with one", where=source)
    return Asked([("", entry) for entry in entries], text, source, array)


def _from_options(arguments: Arguments) -> list[tuple[str, Mount]]:
    """(option with its value, entry), parents first."""
    found: list[tuple[str, Mount]] = []
    for name, options in _WAYS.items():
        for each in arguments.many(name):
            source, _, place = each.partition(":")
            if not source:
                raise Failure("nothing is named to be bound", where=f"--{name} {each}")
            source = os.path.abspath(source)
            found.append((f"--{name} {each}", _entry(place or source, "bind", source, *options)))
    found += [(f"--tmpfs {each}", _entry(each, "tmpfs", "tmpfs", *_TMPFS)) for each in arguments.many("tmpfs")]
    found += [(f"--destination {each}", {"destination": each}) for each in arguments.many("destination")]
    return sorted(found, key=lambda each: files.clean(each[1]["destination"]).split("/"))


def _entry(destination: str, kind: str, source: str, *options: str) -> Mount:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
