"""The bundle: finds config.json, reads it once, refuses what is wrong, and hands out plain dicts.

The fast acceptance check decides; only when it refuses are the slow explainers imported, so that the person gets every
problem at once with file, line and column.
"""

from __future__ import annotations

import os

from ocirun import log
from ocirun.errors import Failure, failure
from ocirun.request import absolute
from ocirun_spec import accept, jsontext, rules, version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun_spec.problem import Problem

_LARGEST: Final = 16 << 20
_ENOENT: Final = 2


class Bundle:
    """A directory with a config.json that has been read and accepted.

    path:   the directory, absolute.
    text:   config.json as it was read.
    config: its value; `accept` has seen every type in it.
    """

    __slots__ = ("config", "path", "text")

    def __init__(self, path: str, text: str, config: dict[str, Any]) -> None:
        self.path = path
        self.text = text
        self.config = config


def read_json(path: str, what: str) -> tuple[str, Any]:
    """(text, value) of a JSON file, whose content nobody has checked yet."""
    fd = open_file(path, what)
    try:
        return read_open_json(fd, path, what)
    finally:
        os.close(fd)


def open_file(path: str, what: str) -> int:
    """A descriptor to read from."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as problem:
        raise failure(f"read {what}", problem, where=path) from None


def read_open(fd: int, source: str, what: str) -> bytes:
    """The content of an open file; `source` is its name for people."""
    try:
        parts = []
        size = 0
        while part := os.read(fd, 1 << 16):  # more would be mapped, and unmapped again, each time
            parts.append(part)
            size += len(part)
            if size > _LARGEST:
                raise Failure(f"read {what}: it is larger than 16 MiB", where=source)
    except OSError as problem:
        raise failure(f"read {what}", problem, where=source) from None
    return b"".join(parts)


def read_open_json(fd: int, source: str, what: str) -> tuple[str, Any]:
    """(text, value) of an open file."""
    data = read_open(fd, source, what)
    try:
        text = jsontext.decode(data)
        return text, jsontext.loads(text)
    except jsontext.JSONError as problem:
        place = f"{source}:{problem.line}:{problem.column}"
        raise Failure(f"{problem.message}", where=place, hint="\n" + problem.excerpt()) from None


def _explained(path: str, text: str, pointer: str) -> Failure:
    """All problems of a refused file, the first one as the sentence and the others below."""
    from ocirun import explained

    found = [problem for problem in explained.problems(text, path) if problem.severity == "error"]
    return told(found) if found else Failure("not acceptable", where=f"{path}: {pointer}")


def told(found: list[Problem]) -> Failure:
    """The first problem as the sentence, the others below."""
    first, *others = found
    sentence = first.render().partition("\n")[0] + (f", expected {first.expected}" if first.expected else "")
    more = "\n".join(["there is more:", *(problem.render() for problem in others)]) if others else ""
    return Failure(sentence, hint="\n".join(part for part in (first.hint, more) if part))


def load(directory: str, name: str = "config.json") -> Bundle:
    """Read and check the configuration of a bundle's directory."""
    path = absolute(directory or ".")
    file = f"{path}/{name}"
    try:
        text, config = read_json(file, "the configuration")
    except Failure as problem:
        if problem.errno == _ENOENT:
            from ocirun import hints

            problem.hint = hints.without_config(path)
        raise
    return checked(path, text, config, file)


def checked(path: str, text: str, config: Any, file: str) -> Bundle:
    """A bundle whose configuration somebody has read or composed; `file` is its name for people."""
    strange: list[object] = []
    pointer = accept.accept(config, strange)
    if pointer is not None:
        raise _explained(file, text, pointer)
    problems = rules.check(config)
    if problems:
        raise _explained(file, text, problems[0][0])
    if strange:
        warn_unknown(file, text, config)
    if version.is_newer(config["ociVersion"]):
        log.warning(
            f"/ociVersion: the configuration is made for version {config['ociVersion']} of the specification, "
            f"newer than {version.OCI_VERSION_MAX}: what that has added is not applied"
        )
    return Bundle(path, text, config)


def warn_unknown(path: str, text: str, value: object, base: str = "") -> None:
    """Say which properties nobody looks at (config.md, Extensibility); `value` stands at `base` of a config."""
    from ocirun import cold

    cold.enable()
    from ocirun_spec import cautions

    for problem in cautions.unknown(text, path, value, base):
        log.warning(f"{problem.pointer}: {problem.message}" + (f"; {problem.hint}" if problem.hint else ""))
