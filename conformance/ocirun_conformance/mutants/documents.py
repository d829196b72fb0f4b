"""What a mutant does to a document: one edit of a config, a state or a features document, named by words.

Words are a verb, mostly a JSON pointer, and values. In a pointer `*` stands for every index or key, and `-1` for the
last item. An edit that finds nothing to do leaves the document alone. Light: the wrapper loads this at every call.
"""

from __future__ import annotations

from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

FOREIGN = "no-such-word-of-any-filesystem"
"""A mount option that every filesystem refuses."""


def places(document: Any, pointer: str) -> Iterator[tuple[Any, Any]]:
    """The (container, key) pairs that a pointer finds; of a list the last first, so that one may delete."""
    *path, last = pointer.split("/")[1:]
    found = [document]
    for token in path:
        found = [container[key] for each in found for container, key in _keys(each, token)]
    for each in found:
        yield from _keys(each, last)


def _keys(value: Any, token: str) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        keys: list[Any] = list(value) if token == "*" else [token] if token in value else []
    elif isinstance(value, list) and token == "*":
        keys = list(range(len(value) - 1, -1, -1))
    elif isinstance(value, list) and token == "-1" and value:
        keys = [len(value) - 1]
    else:
        keys = []
    return [(value, key) for key in keys]


def negate(value: Any) -> Any:
    """A boolean."""
    return not value if isinstance(value, bool) else value


def _number(change: Callable[[int], int]) -> Callable[[Any], Any]:
    return lambda value: change(value) if isinstance(value, int) and not isinstance(value, bool) else value


def other(value: Any) -> Any:
    """A string: the next number if it is one, else with one letter more."""
    if not isinstance(value, str):
        return value
    return str(int(value) + 1) if value.isascii() and value.isdigit() else value + "x"


def _list(change: Callable[[list[Any]], list[Any]]) -> Callable[[Any], Any]:
    return lambda value: change(value) if isinstance(value, list) else value


VALUES: dict[str, Callable[[Any], Any]] = {
    "negate": negate,
    "more": _number(lambda value: value + 1),
    "less": _number(lambda value: value - 1),
    "double": _number(lambda value: value * 2 if value > 0 else value),
    "other": other,
    "text": str,
    "empty": lambda value: type(value)() if isinstance(value, list | dict | str) else value,
    "reverse": _list(lambda value: value[::-1]),
    "cut": _list(lambda value: value[:1]),
    "behead": _list(lambda value: value[1:]),
}
"""Edits of a value in its place, by their verb."""


def _plain(text: str) -> Any:
    """A value among the words: a number, a boolean, or a string."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.lstrip("-").isdigit() else text


def _drop(document: Any, *pointers: str) -> None:
    for pointer in pointers:
        for container, key in places(document, pointer):
            del container[key]


def _swap(document: Any, pointer: str, first: str, second: str) -> None:
    """Make it the first of two values, or the second where it is the first already."""
    for container, key in places(document, pointer):
        container[key] = _plain(second if container[key] == _plain(first) else first)


def _replace(document: Any, pointer: str, text: str) -> None:
    for container, key in places(document, pointer):
        container[key] = _plain(text)


def _set(document: Any, pointer: str, text: str) -> None:
    """Add a member where it is not; its parents, too."""
    *path, last = pointer.split("/")[1:]
    found = document
    for token in path:
        if not isinstance(found, dict):
            return
        found = found.setdefault(token, {})
    if isinstance(found, dict):
        found.setdefault(last, _plain(text))


def _grow(document: Any, pointer: str, text: str) -> None:
    """Append to a list what it does not have."""
    for container, key in places(document, pointer):
        if isinstance(container[key], list) and _plain(text) not in container[key]:
            container[key].append(_plain(text))


def _move(document: Any, pointer: str, target: str) -> None:
    """Take a list away and append its items to another of the same object."""
    for container, key in places(document, pointer):
        moved = container.pop(key)
        if isinstance(moved, list):
            container.setdefault(target, []).extend(moved)


def _distinct(document: Any, pointer: str) -> None:
    """Of a list's items of the same `type` keep the last."""
    for container, key in places(document, pointer):
        if isinstance(container[key], list):
            container[key] = list({_type(each): each for each in container[key]}.values())


def _type(item: Any) -> Any:
    return item.get("type") if isinstance(item, dict) else str(item)


def _without(document: Any, pointer: str, name: str) -> None:
    """Take the items of this `type` out of a list."""
    for container, key in places(document, pointer):
        if isinstance(container[key], list):
            container[key] = [each for each in container[key] if _type(each) != name]


def _unshare(document: Any, name: str) -> None:
    """Ask for a namespace that the config does not name."""
    for container, key in places(document, "/linux/namespaces"):
        if isinstance(container[key], list) and all(_type(each) != name for each in container[key]):
            container[key].append({"type": name})


def _option(document: Any, verb: str, word: str) -> None:
    """Of mount options: `without` a word (or what begins with it, if it ends in `=`); `foreign`: refused instead."""
    for container, key in places(document, "/mounts/*/options"):
        listed = container[key]
        if not isinstance(listed, list):
            continue
        chosen = [each for each in listed if each == word or (word[-1] == "=" and str(each).startswith(word))]
        if verb == "foreign":
            container[key] = [FOREIGN if each in chosen else each for each in listed]
        else:
            container[key] = [each for each in listed if each not in chosen]


def _hook(document: Any, mode: str, name: str, program: str) -> None:
    """Put a program in front of the hooks of one list: PROGRAM MODE PATH ARGS…"""
    for hook, _ in places(document, f"/hooks/{name}/*/path"):
        path = hook["path"]
        hook["args"] = [program, mode, path, *(hook.get("args") or [path])]
        hook["path"] = program


EDITS: dict[str, Callable[..., None]] = {
    "drop": _drop,
    "swap": _swap,
    "replace": _replace,
    "set": _set,
    "grow": _grow,
    "move": _move,
    "distinct": _distinct,
    "without": _without,
    "unshare": _unshare,
    "option": _option,
    "hook": _hook,
}
"""Edits of other shapes, by their verb; what they take is in their signatures."""


def edit(document: Any, words: Sequence[str]) -> None:
    """Do what the words say to a JSON value, in place."""
    verb, *rest = words
    if verb in EDITS:
        EDITS[verb](document, *rest)
        return
    for container, key in places(document, rest[0]):
        container[key] = VALUES[verb](container[key])
