"""The file of --trace: Chromium's Trace Event Format, which Perfetto and chrome://tracing load.

A complete event (``"ph": "X"``) for each step, times in microseconds from the first one on; its `args` have the step's
number, subsystem and function, and JSON pointer. What is no step has no number.
"""

from __future__ import annotations

import os
import stat

from ocirun import bundle
from ocirun.errors import Failure
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_COMMAND: Final = "command"
_FAILED: Final = "failed"


class Span:
    """Something that a process has done, from `begin` to `end` (ns); a step has a number."""

    __slots__ = ("begin", "end", "name", "number", "pid", "pointer", "process", "step")

    def __init__(self, process: str, pid: int, begin: int, end: int) -> None:
        self.process = process
        self.pid = pid
        self.begin = begin
        self.end = max(begin, end)
        self.name = ""
        self.number = 0
        self.step = ""
        self.pointer = ""


class Trace:
    """A file that was read: the command, its spans in the order of their begin, the sentence that it failed with."""

    __slots__ = ("command", "failed", "spans")

    def __init__(self, command: str, spans: list[Span], failed: str) -> None:
        self.command = command
        self.spans = spans
        self.failed = failed


def write(fd: int, command: str, spans: list[Span], failed: str) -> None:
    """Replace the content of an open file; OSError when it cannot be written."""
    data = (jsontext.pretty(document(command, spans, failed)) + "\n").encode("utf-8", "surrogateescape")
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.ftruncate(fd, 0)
    while data:
        data = data[os.write(fd, data) :]


def document(command: str, spans: list[Span], failed: str) -> dict[str, Any]:
    """The file's content."""
    start = min((each.begin for each in spans), default=0)
    processes = dict.fromkeys((each.pid, each.process) for each in spans)
    names = [
        {"ph": "M", "name": "process_name", "pid": pid, "tid": pid, "args": {"name": name}} for pid, name in processes
    ]
    return {
        "displayTimeUnit": "ms",
        "otherData": {_COMMAND: command, **({_FAILED: failed} if failed else {})},
        "traceEvents": [*names, *(_event(each, start) for each in spans)],
    }


def _event(span: Span, start: int) -> dict[str, Any]:
    about: dict[str, Any] = {"number": span.number, "step": span.step, "pointer": span.pointer} if span.number else {}
    return {
        "ph": "X",
        "name": span.name,
        "cat": span.step.partition(".")[0] or span.process,
        "pid": span.pid,
        "tid": span.pid,
        "ts": (span.begin - start) / 1000,
        "dur": (span.end - span.begin) / 1000,
        "args": about,
    }


def read(path: str) -> Trace:
    """A file that `write` has written, or one of that form."""
    _text, value = bundle.read_json(path, "the trace")
    try:
        events = value["traceEvents"]
        names = {each["pid"]: str(each["args"]["name"]) for each in events if each["ph"] == "M"}
        spans = [_span(each, names) for each in events if each["ph"] == "X"]
        other = value.get("otherData") or {}
        return Trace(str(other.get(_COMMAND, "")), sorted(spans, key=_begin), str(other.get(_FAILED, "")))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Failure("read the trace: it is not in the Trace Event Format", where=path) from None


def _begin(span: Span) -> int:
    return span.begin


def _span(event: dict[str, Any], names: dict[int, str]) -> Span:
    begin = int(float(event["ts"]) * 1000)
    span = Span(names.get(event["pid"], "process"), int(event["pid"]), begin, begin + int(float(event["dur"]) * 1000))
    span.name = str(event["name"])
    about = event.get("args") or {}
    span.number, span.step = int(about.get("number", 0)), str(about.get("step", ""))
    span.pointer = str(about.get("pointer", ""))
    return span
