"""--log and --log-format: one record a line, written with one write(2), without the logging module.

JSON lines have the members `level`, `msg`, `time` (RFC 3339); containerd shows the last one whose level is ``error``.
Without --log, warnings and errors go to stderr. A record is appended with O_APPEND, so that two commands do not mix.
"""

from __future__ import annotations

import os
import time

from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LEVELS: Final = {"debug": 0, "info": 1, "warning": 2, "error": 3}


class _Log:
    """Where records go. One per process.

    alone: errors are told there and nowhere else.
    heard: where warnings go instead, while somebody listens.
    """

    __slots__ = ("alone", "fd", "heard", "json", "threshold")

    def __init__(self) -> None:
        self.alone = False
        self.fd = 2
        self.heard: list[str] | None = None
        self.json = False
        self.threshold = _LEVELS["warning"]


_log: Final = _Log()


def open_log(path: str, style: str, debug: bool) -> None:
    """Begin logging to `path` ("" is stderr) in `style` ``text`` or ``json``; OSError when it cannot be opened."""
    _log.json = style == "json"
    if debug:
        _log.threshold = _LEVELS["debug"]
    if path:
        _log.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.set_inheritable(_log.fd, False)


def open_descriptor(fd: int) -> None:
    """Log to a descriptor of the caller's, which reads JSON there and wants nothing on stderr: it is the program's."""
    os.set_inheritable(fd, False)
    _log.fd, _log.json, _log.alone = fd, True, True


def handed() -> tuple[str, str, str]:
    """For a process that is executed and should log to the same place: `take` understands it there."""
    if to_file():
        os.set_inheritable(_log.fd, True)
    return str(_log.fd), str(_log.threshold), "json" if _log.json else "text"


def take(fd: str, threshold: str, style: str) -> None:
    """Log where the process did that has handed this over."""
    _log.fd, _log.threshold, _log.json = int(fd), int(threshold), style == "json"


def close() -> None:
    """Stop logging: a container's process has nothing to say."""
    if _log.fd != 2:
        os.close(_log.fd)
    _log.fd = 2
    _log.threshold = len(_LEVELS)


def to_file() -> bool:
    """Whether records go to a file of their own, so that stderr needs a copy for the person."""
    return _log.fd != 2


def alone() -> bool:
    """Whether errors go there with their parts, and not to stderr."""
    return _log.alone


def descriptor() -> int:
    """Where records go."""
    return _log.fd


def holds(fd: int) -> bool:
    """Whether a descriptor is the log's own, and so not the caller's."""
    return to_file() and _log.fd == fd


def debugging() -> bool:
    """Whether --debug was given: callers skip making the text otherwise."""
    return _log.threshold == 0


def record(level: str, message: str, parts: dict[str, str | int] | None = None) -> None:
    """Write one record, in JSON with these members too; a log that cannot be written is no reason to fail."""
    if _LEVELS[level] < _log.threshold:
        return
    message = printable(message)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if _log.json:
        line = jsontext.dumps({"level": level, "msg": message, "time": now, **(parts or {})})
    elif _log.fd == 2:
        line = f"ocirun: {level}: {message}"
    else:
        line = f'time="{now}" level={level} msg={jsontext.dumps(message)}'
    write_all(_log.fd, line + "\n")


def printable(text: str) -> str:
    """One line that does nothing to a terminal: words of a configuration hold anything. Bytes that are no text stay."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or 0xDC80 <= ord(each) <= 0xDCFF else f"\\x{ord(each):02x}" for each in text
    )


def debug(message: str) -> None:
    """A step taken; only with --debug."""
    record("debug", message)


def warning(message: str) -> None:
    """What the person should know although the command goes on."""
    if _log.heard is None:
        record("warning", message)
    else:
        _log.heard.append(message)


def listen(heard: list[str] | None) -> None:
    """Have warnings appended to a list instead; None: log them again."""
    _log.heard = heard


def write_all(fd: int, text: str) -> None:
    """Write text to a descriptor, undisturbed by a reader that has gone."""
    data = text.encode("utf-8", "surrogateescape")
    while data:
        try:
            data = data[os.write(fd, data) :]
        except OSError:
            return
