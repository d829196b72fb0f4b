"""Docker: `runtimes` and `default-runtime` of daemon.json (dockerd(8))."""

from __future__ import annotations

import os

from ocirun.errors import Failure
from ocirun.installing import Engine, Wish, lookup, members, merged, of_user, taken, unfit

_RESERVED = "runc"
_EMPTY = "{}\n"


class Docker(Engine):
    """The daemon takes both keys when it is told to reload."""

    program = "dockerd"
    reload = "systemctl reload docker"

    def place(self, _name: str) -> str:
        """Of dockerd, or of dockerd-rootless.sh."""
        return "/etc/docker/daemon.json" if os.geteuid() == 0 else of_user("docker", "daemon.json")

    def check(self, text: str, path: str) -> None:
        """An empty file is none."""
        members.parse(text.strip() or _EMPTY, path)

    def add(self, text: str, wish: Wish, path: str) -> str:
        """Two members."""
        if wish.name == _RESERVED:
            raise Failure(f"Docker keeps the name {_RESERVED!r} for its own")
        text = text if text.strip() else _EMPTY
        document = members.parse(text, path)
        if lookup(document, "runtimes", wish.name) is not None:
            raise taken(wish.name, path)
        expected = merged(document, ("runtimes",), {wish.name: {"path": wish.path}})
        result = text
        if isinstance(document.get("runtimes"), dict):
            result = members.put(result, "/runtimes", wish.name, {"path": wish.path})
        else:
            result = members.put(result, "", "runtimes", {wish.name: {"path": wish.path}})
        if wish.default:
            expected["default-runtime"] = wish.name
            result = members.put(result, "", "default-runtime", wish.name)
        if members.parse(result, path) != expected:
            raise unfit(path, f'"runtimes": {{"{wish.name}": {{"path": "{wish.path}"}}}}')
        return result

    def strip(self, text: str, name: str, before: str | None, after: str | None) -> str:
        """What still has the value that `install` gave it goes; JSON has no marks, so that it takes a record of it."""
        if after is None:
            return text
        document = members.parse(text, "")
        old = members.parse(before, "") if before and before.strip() else {}
        ours = members.parse(after, "")
        if lookup(document, "runtimes", name) == lookup(ours, "runtimes", name):
            text = members.remove(text, "/runtimes", name)
            if document["runtimes"].keys() == {name} and "runtimes" not in old:
                text = members.remove(text, "", "runtimes")
        given, default = ours.get("default-runtime"), old.get("default-runtime")
        if given == default or given != document.get("default-runtime"):
            return text
        gone = lookup(old, "runtimes", str(default)) and not lookup(document, "runtimes", str(default))
        if default is None or gone:
            return members.remove(text, "", "default-runtime")
        return members.put(text, "", "default-runtime", default)

    def default(self, text: str) -> object:
        """Docker refuses to start with one that is not there."""
        return members.parse(text.strip() or _EMPTY, "").get("default-runtime")

    def attempt(self, wish: Wish) -> str:
        """`docker run`."""
        choice = "" if wish.default else f"--runtime {wish.name} "
        return f"docker run --rm {choice}busybox echo hello"
