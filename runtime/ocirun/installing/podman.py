"""Podman and buildah: a drop-in of containers.conf(5)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ocirun import bundle
from ocirun.errors import Failure
from ocirun.installing import Engine, Wish, lookup, of_user, tables, taken
from ocirun_spec import jsontext

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSTEM = ("/usr/share/containers", "/etc/containers")
_MAIN = "containers.conf"
_DROP_INS = "containers.conf.d"
_JSON = "runtime_supports_json"
_SUPPORTING = ["crun", "runc", "kata", "runsc", "youki", "krun", "ocijail"]
"""Podman's own list, of several versions."""


class Podman(Engine):
    """There is no daemon: the next command knows it."""

    program = "podman"

    def place(self, name: str) -> str:
        """Of root, or of this user; each name has its own."""
        folder = "/etc/containers" if os.geteuid() == 0 else of_user("containers")
        return os.path.join(folder, _DROP_INS, f"{name}.conf")

    def check(self, text: str, path: str) -> None:
        """As TOML."""
        tables.parse(text, path)

    def add(self, text: str, wish: Wish, path: str) -> str:
        """Its path, and that its log is JSON: else warnings get among the container's own errors."""
        document = tables.parse(text, path)
        if lookup(document, "engine", "runtimes", wish.name) is not None:
            raise taken(wish.name, path)
        known = lookup(document, "engine", _JSON) or _elsewhere(path)
        engine: dict[str, Any] = {_JSON: [*(each for each in known if each != wish.name), wish.name]}
        if wish.default:
            engine["runtime"] = wish.name
        wanted = [(("engine",), engine), (("engine", "runtimes"), {wish.name: [wish.path]})]
        return tables.add(text, wish.name, wanted, path)

    def strip(self, text: str, name: str, _before: str | None, _after: str | None) -> str:
        """By the marks."""
        return tables.strip(text, name)

    def default(self, text: str) -> object:
        """Of this file."""
        return lookup(tables.parse(text, ""), "engine", "runtime")

    def attempt(self, wish: Wish) -> str:
        """`podman run`."""
        choice = "" if wish.default else f"--runtime {wish.name} "
        return f"podman {choice}run --rm docker.io/library/busybox echo hello"


def _elsewhere(path: str) -> list[str]:
    """The list that holds without this file: a list of a later file replaces those of earlier ones."""
    found = _SUPPORTING
    for file in _files():
        if file == path:
            continue
        try:
            with_it = lookup(_read(file), "engine", _JSON)
        except (Failure, jsontext.JSONError):
            continue
        if isinstance(with_it, list):
            found = [each for each in with_it if isinstance(each, str)]
    return found


def _files() -> Iterator[str]:
    """In the order in which Podman reads them."""
    for folder in (*_SYSTEM, *([of_user("containers")] if os.geteuid() else [])):
        yield os.path.join(folder, _MAIN)
        inner = os.path.join(folder, _DROP_INS)
        yield from (os.path.join(inner, name) for name in sorted(_listed(inner)) if name.endswith(".conf"))


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str) -> dict[str, Any]:
    what = "Podman's configuration"
    fd = bundle.open_file(path, what)
    try:
        return tables.parse(jsontext.decode(bundle.read_open(fd, path, what)), path)
    finally:
        os.close(fd)
