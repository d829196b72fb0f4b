"""What a mutant does at each call: by the first word of its name. Light: the wrapper loads this at every call."""

from __future__ import annotations

import os
from typing import Any

from .documents import edit, places
from .good import Good
from .request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def spoil(words: list[str], program: str, argv: list[str]) -> int:
    """Do the call, spoiled. words: the mutant's name; program: the good runtime; the result: the exit code."""
    request = Request(argv)
    good = Good(program, request)
    if request.operation in ("", "force"):
        good.become()
    if words[0] == "life":
        from . import lives

        return lives.LIVES[words[1]](good, *words[2:])
    return GROUPS[words[0]](good, words[1:])


def _config(good: Good, words: list[str]) -> int:
    """`config EDIT…`: create sees another config.json than stands there before and after."""
    if good.request.operation != "create":
        good.become()
    if words[0] == "hook":
        words = [*words, _hook_program(good, words[2])]
    path, original = read_config(good)
    changed = original and edited(original, words)
    if not changed:
        good.become()
    return create_with(good, path, original, changed)


def read_config(good: Good) -> tuple[str, bytes]:
    """The path of config.json and what is in it; empty when it cannot be read."""
    path = os.path.join(good.request.bundle, "config.json")
    try:
        with open(path, "rb") as file:
            return path, file.read()
    except OSError:
        return path, b""


def edited(text: bytes, words: list[str]) -> bytes:
    """The document after an edit; empty when that changes nothing, or it is no JSON."""
    import json

    try:
        document, before = json.loads(text), json.loads(text)
    except ValueError:
        return b""
    edit(document, words)
    return json.dumps(document).encode() if document != before else b""


def create_with(good: Good, path: str, original: bytes, changed: bytes) -> int:
    """Create with another config.json, in its place; the original is back afterwards."""
    _write(path, changed)
    try:
        return good.run()
    finally:
        _write(path, original)


def _write(path: str, text: bytes) -> None:
    with open(path, "wb") as file:
        file.write(text)


def _hook_program(good: Good, name: str) -> str:
    """The program that stands in front of hooks; those of startContainer need it inside the container."""
    import json
    import shutil

    from ocirun_conformance.probe import build

    program = str(build("ocirun_conformance.mutants", "hook"))
    _path, text = read_config(good)
    try:
        document = json.loads(text)
    except ValueError:
        return program
    if name != "startContainer" or not list(places(document, "/hooks/startContainer/*/path")):
        return program
    for root, _ in places(document, "/root/path"):
        inside = os.path.join(good.request.bundle, root["path"], "mutant-hook")
        if not os.path.exists(inside):
            shutil.copy(program, inside)
            os.chmod(inside, 0o755)
    return "/mutant-hook"


def _output(operation: str) -> Callable[[Good, list[str]], int]:
    """`state EDIT…` and `features EDIT…`: what they print is edited."""

    def apply(good: Good, words: list[str]) -> int:
        import json

        if good.request.operation != operation:
            good.become()
        code, text = good.read()
        try:
            document: Any = json.loads(text)
        except ValueError:
            os.write(1, text)
            return code
        edit(document, words)
        os.write(1, json.dumps(document, indent=2).encode() + b"\n")
        return code

    return apply


def _swallow(good: Good, words: list[str]) -> int:
    """`swallow OPERATION STATUS`: an error at that status is a success; `any` for every status."""
    operation, status = words
    if good.request.operation != operation or status not in ("any", good.status):
        good.become()
    code, text = good.read() if operation == "state" else (good.run(), b"")
    if operation == "state" and code:
        text = b'{"ociVersion": "1.0.2", "id": "nobody", "status": "stopped", "bundle": "/nowhere"}\n'
    if text:
        os.write(1, text)
    return 0


def _fail(good: Good, words: list[str]) -> int:
    """`fail OPERATION STATUS`: it does its work and then claims an error."""
    if good.request.operation != words[0] or words[1] not in ("any", good.status):
        good.become()
    good.run()
    return 1


def _absent(good: Good, words: list[str]) -> int:
    """`absent OPERATION`: there is no such command."""
    if good.request.operation != words[0]:
        good.become()
    os.write(2, b"no such command\n")
    return 1


def _idle(good: Good, words: list[str]) -> int:
    """`idle OPERATION STATUS`: at that status nothing is done, and that successfully."""
    if good.request.operation != words[0] or words[1] not in ("any", good.status):
        good.become()
    return 0


def _lenient(good: Good, words: list[str]) -> int:
    """`lenient EDIT…`: what create refuses is edited until it goes, so that an error is passed over."""
    if good.request.operation != "create":
        good.become()
    path, original = read_config(good)
    changed = original and edited(original, words)
    if not changed:
        good.become()
    return good.run() and create_with(good, path, original, changed)


def _record(good: Good, words: list[str]) -> int:
    """`record FOLDER`: spoils nothing; a file per create has the bundle's path in its first line, then the config."""
    if good.request.operation == "create":
        _path, text = read_config(good)
        _write(
            os.path.join(words[0], f"{os.getpid()}-{os.urandom(4).hex()}"), good.request.bundle.encode() + b"\n" + text
        )
    good.become()


GROUPS: dict[str, Callable[[Good, list[str]], int]] = {
    "config": _config,
    "state": _output("state"),
    "features": _output("features"),
    "swallow": _swallow,
    "fail": _fail,
    "absent": _absent,
    "idle": _idle,
    "lenient": _lenient,
    "record": _record,
}
