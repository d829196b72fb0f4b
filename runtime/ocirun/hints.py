"""What a person can try when `create`, `run` or `start` has failed: found by the checks of `validate`. Cold.

A hint is a courtesy: whatever goes wrong while it is looked for, the sentence stands alone. The libraries are found
only after `cold.enable`, so nothing of them is imported above.
"""

from __future__ import annotations

import os
import select

from ocirun import cold
from ocirun.errors import Failure
from ocirun.facts import Facts
from ocirun.kernel import process as kernel
from ocirun.kernel import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from ocirun.bundle import Bundle
    from ocirun.state import Entry

_PATIENCE: Final = 2000
"""Milliseconds that a person would wait for a hint."""
_LIBRARY = "/linux/seccomp"
"""What only a process that can load libseccomp can say something about."""
_PARTS = ("/root", "/process", "/mounts", "/hooks", "/linux")


def add(problem: Failure, bundle: Bundle) -> None:
    """Give a failure at a place of the config the hint that the checks have about it."""
    if problem.hint or not problem.where.startswith(_PARTS):
        return
    try:
        cold.enable()
        if problem.where.startswith(_LIBRARY):
            from ocirun import answering

            problem.hint = answering.ask(__name__, problem.where, bundle.path, bundle.text) or ""
        else:
            problem.hint = _looked(lambda: _found(problem.where, bundle))
    except Exception:  # noqa: BLE001 - no hint is worth the sentence
        return


def answer(where: str, path: str, text: str) -> str:
    """The hint for a failure there, of the bundle with this path and configuration."""
    from ocirun.bundle import Bundle
    from ocirun_spec import jsontext

    cold.enable()
    return _found(where, Bundle(path, text, jsontext.loads(text)))


def of_container(problem: Failure, entry: Entry) -> None:
    """The same for a container that is there, by the configuration that it was made with."""
    from ocirun.bundle import Bundle
    from ocirun_spec import jsontext

    try:
        text = entry.read("config.json").decode("utf-8", "surrogateescape")
        add(problem, Bundle(entry.record["bundle"], text, jsontext.loads(text)))
    except (OSError, jsontext.JSONError):
        return


def of_mounts(problem: Failure, entry: Entry, mounts: list[dict[str, Any]]) -> None:
    """The same for mounts that are added to it; pointers begin with /mounts."""
    from ocirun.bundle import Bundle
    from ocirun_spec import jsontext

    config = {"ociVersion": "1.0.0", "root": {"path": "/"}, "mounts": mounts}
    add(problem, Bundle(entry.record["bundle"], jsontext.dumps(config), config))


def without_config(folder: str) -> str:
    """Where the config.json may be that is not in this directory."""
    try:
        cold.enable()
        return _looked(lambda: _elsewhere(folder))
    except Exception:  # noqa: BLE001 - no hint is worth the sentence
        return ""


def _elsewhere(folder: str) -> str:
    if not os.path.isdir(folder):
        from ocirun.checks.sources import near

        return near(folder) or f"there is no directory {folder}; --bundle names the bundle's directory"
    below = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    for each in (os.path.dirname(folder), *below):
        if os.path.isfile(os.path.join(each, "config.json")):
            return f"{each} has one; --bundle names the directory"
    return "ocirun spec writes one; or --bundle names the directory that has it"


def _looked(find: Callable[[], str]) -> str:
    return _apart(find) if Facts().distant else find()


def _apart(find: Callable[[], str]) -> str:
    """The same by a child, since the server of a filesystem may not answer (`apart`): it holds nothing of ours."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signals.SIGKILL, name="PR_SET_PDEATHSIG")
            kernel.close_range(0, writer - 1)
            kernel.close_range(writer + 1, kernel.UINT_MAX)
            os.write(writer, find().encode("utf-8", "replace"))
        finally:
            os._exit(0)
    os.close(writer)
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    answered = bool(poll.poll(_PATIENCE))
    hint = os.read(reader, 1 << 16).decode() if answered else ""
    os.close(reader)
    os.kill(child, signals.SIGKILL)
    os.waitpid(child, 0 if answered else os.WNOHANG)
    return hint


def _found(where: str, bundle: Bundle) -> str:
    from ocirun import checks
    from ocirun.checks.subject import within
    from ocirun_spec.cautions import Cautions
    from ocirun_spec.positions import Positions

    for caution in Cautions(os.path.join(bundle.path, "config.json"), Positions(bundle.text)).all(bundle.config):
        if caution.hint and within(caution.pointer, where):
            return f"{caution.pointer}: {caution.message}; {caution.hint}"
    subject = checks.Subject(bundle.config, bundle.path)
    return next((finding.hint for finding in checks.about(where, subject) if finding.hint), "")


def capabilities(names: list[str]) -> str:
    """What may be meant by unknown capabilities, to stand behind a warning; empty when nothing is like them."""
    try:
        cold.enable()
        from ocirun_spec.cautions import like_a_capability
    except (Failure, ImportError, MemoryError, OSError):
        return ""
    return "".join(f"; {hint}" for hint in dict.fromkeys(map(like_a_capability, names)) if hint)
