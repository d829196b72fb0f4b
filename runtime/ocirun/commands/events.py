"""`events`: a container's statistics, once or again and again, and its processes killed for want of memory.

The documents are runc's, one JSON object a line (`ocirun_spec.schema.events_schema`; docs/design/stats.md). No lock is
taken: the command only looks, and may do so for as long as the container lives. It ends by itself when the container's
first process has ended or nobody reads the output any more; a signal that ends it may come at any time.
"""

from __future__ import annotations

import os
import select
import time

from ocirun import cli, state
from ocirun.errors import Failure, failure
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

    from ocirun.cli import Arguments
    from ocirun.linux.cgroup.oomwatch import Watch
    from ocirun.state import Entry

    Document = dict[str, Any]

_OUTPUT: Final = 1
_EPIPE: Final = 32
_LONGEST_WAIT: Final = 3600.0
"""Seconds of one poll(2), whose argument is an int of milliseconds."""
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
"""Nanoseconds; the two spellings of micro are those that Go takes."""
_LONGEST: Final = (1 << 63) - 1
_DIGITS: Final = "0123456789."
_MOST_DIGITS: Final = 40


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 at the end of the container or of the output's reader."""
    interval = duration(arguments.text("interval", "5s"))
    entry = state.find(cli.state_root(general), arguments.positionals[0])
    if arguments.flag("stats"):
        _print(now(entry))
        return 0
    for found in follow(entry, interval, _OUTPUT):
        if not _print(found):
            break
    return 0


def _check(entry: Entry) -> None:
    status = entry.life()
    if status not in (state.CREATED, state.RUNNING):
        raise not_running(status)
    if not entry.record["cgroup"]:
        raise Failure("the container has no cgroup of its own, so that it has no statistics")


def now(entry: Entry) -> Document:
    """The statistics of a container, which has to run."""
    _check(entry)
    found = statistics(entry)
    if found is None:
        raise not_running(state.STOPPED)
    return found


def not_running(status: str) -> Failure:
    """The words of runc's."""
    return Failure(f"container not running: it is {status}")


def statistics(entry: Entry) -> Document | None:
    """One document; None when the container has ended meanwhile, so that its cgroup may have been gone already."""
    from ocirun.linux import cgroup, interfaces

    record = entry.record
    data = cgroup.statistics(record["cgroup"])
    data["intel_rdt"] = {}
    if record.get("intelRdt"):
        from ocirun.linux import intelrdt

        data["intel_rdt"] = intelrdt.statistics(record["intelRdt"])
    data["network_interfaces"] = interfaces.statistics(record["pid"])
    return {"type": "stats", "id": entry.ident, "data": data} if entry.alive() else None


def follow(entry: Entry, interval: int, output: int = -1) -> Iterator[Document]:
    """Give each kill, and statistics after each `interval` (ns), until the container or the reader of `output` ends."""
    from ocirun.linux import cgroup

    _check(entry)
    pidfd = hold(entry)
    watch = None
    try:
        watch = cgroup.watch_memory(entry.record["cgroup"])
        yield from _watched(entry, interval, pidfd, watch, output)
    finally:
        os.close(pidfd)
        if watch and not watch.ended:
            watch.close()


def _watched(entry: Entry, interval: int, pidfd: int, watch: Watch | None, output: int) -> Iterator[Document]:
    """Wait for the next of: a kill, the time for statistics, the end of the container, the end of the reader."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if output >= 0:
        poll.register(output, 0)  # POLLERR and POLLHUP come unasked
    if watch:
        poll.register(watch.fd, watch.mask)
    due = time.monotonic() + interval / 1e9
    ended = False
    while not ended:
        wait = min(max(due - time.monotonic(), 0.0), _LONGEST_WAIT)
        ready = dict(poll.poll((watch.patience(wait) if watch else wait) * 1000))
        # The kernel counts a kill before the process dies: what is asked after the end is complete.
        ended = pidfd in ready
        if output in ready:
            return
        for _ in range(watch.take() if watch else 0):
            yield {"type": "oom", "id": entry.ident}
        if watch and watch.ended:
            poll.unregister(watch.fd)
            watch.close()
            watch = None
        if not ended and time.monotonic() >= due:
            found = statistics(entry)
            if found is not None:
                yield found
            due = max(due + interval / 1e9, time.monotonic())


def hold(entry: Entry) -> int:
    """A pidfd of the first process, which is that process and not another one with its number."""
    try:
        pidfd = kernel.pidfd_open(entry.record["pid"])
    except raw.KernelError:
        raise not_running(state.STOPPED) from None
    if not entry.alive():
        os.close(pidfd)
        raise not_running(state.STOPPED)
    return pidfd


def _print(document: Document) -> bool:
    """Write one line at once; false when nobody reads it. An output that does not block is waited for."""
    data = jsontext.dumps(document).encode() + b"\n"
    while data:
        try:
            data = data[os.write(_OUTPUT, data) :]
        except BlockingIOError:
            select.select([], [_OUTPUT], [])
        except OSError as problem:
            if problem.errno == _EPIPE:
                return False
            raise failure("write to the standard output", problem) from None
    return True


def duration(text: str) -> int:
    """Nanoseconds, more than 0, of Go's form: numbers with a unit, ``1h``, ``1m30s``, ``1.5s``, ``500ms``."""
    total = 0
    rest = text.removeprefix("+")
    while rest:
        number = rest[: len(rest) - len(rest.lstrip(_DIGITS))]
        rest = rest[len(number) :]
        unit = next((each for each in sorted(_UNITS, key=len, reverse=True) if rest.startswith(each)), "")
        whole, _, fraction = number.partition(".")
        if not unit or not whole + fraction or "." in fraction or len(number) > _MOST_DIGITS:
            raise _no_duration(text)
        rest = rest[len(unit) :]
        total += int(whole or "0") * _UNITS[unit] + int(fraction or "0") * _UNITS[unit] // 10 ** len(fraction)
    if not 0 < total <= _LONGEST:
        raise _no_duration(text)
    return total


def _no_duration(text: str) -> Failure:
    return Failure(f"--interval takes a duration greater than 0, such as 5s, 500ms or 1m30s, not {text!r}")
