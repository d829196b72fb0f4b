"""When each step was done: marks between the steps, which write the time into memory that init shares with the runtime.

A mark is a step like others, so neither `parent` nor `init` knows of it, and a plan without --trace has none. The
memory is anonymous: it has no descriptor that the container could find, and execve(2) takes init's mapping away.

The clock is CLOCK_REALTIME, the one that is the same in every time namespace. It is read without a system call where
the kernel offers that (vdso(7)); elsewhere a seccomp filter must allow clock_gettime(2).
"""

from __future__ import annotations

import os
import time

from ocirun import log
from ocirun.errors import failure, words
from ocirun.explaining.sequence import LISTS, MIDDLE, name_of
from ocirun.explaining.words import sentence
from ocirun.kernel import raw
from ocirun.steps import InsideStep, OutsideStep
from ocirun.tracing import chrome
from ocirun.tracing.chrome import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeVar

    from ocirun.parent import Host
    from ocirun.plan import Plan, Spaces
    from ocirun.request import Request
    from ocirun.scene import Scene
    from ocirun.steps import Step

    T = TypeVar("T")

_SLOT: Final = 8
_MIDDLE_SLOTS: Final = 3
_TEXT: Final = "note the time"
_ABOUT: Final = {"outside": "make the container's process", "adopt": "answer init until it is READY"}
"""What the runtime does between the last step of a list and the first of its next one."""


def record(plan: Plan, request: Request, deed: Callable[[], T]) -> T:
    """Do `deed`, which does the plan, and write the file; also when it fails, up to the step that failed."""
    recorder = _Recorder(plan, request)
    try:
        result = deed()
    except BaseException as problem:
        recorder.finish(str(problem))
        raise
    recorder.finish("")
    return result


def mark_outside(step: OutsideStep, host: Host) -> None:
    """The time, and whom else to ask afterwards."""
    page, at, hosts = step.args
    _note(page, at, time.time_ns())
    hosts[:] = [host]


def mark_inside(step: InsideStep, _scene: Scene) -> None:
    """The time. The first one closes `file`, if it is not -1: init inherits it, and the container must not find it."""
    page, at, file = step.args
    _note(page, at, time.time_ns())
    if file >= 0:
        os.close(file)


def _note(page: memoryview, at: int, value: int) -> None:
    page[at * _SLOT : (at + 1) * _SLOT] = value.to_bytes(_SLOT, "little")


class _Timed:
    """Namespaces that a process in the middle joins: it notes its number, and when it began and ended."""

    __slots__ = ("_at", "_page", "_spaces", "new")

    def __init__(self, spaces: Spaces, page: memoryview, at: int) -> None:
        self._spaces = spaces
        self._page = page
        self._at = at
        self.new = spaces.new

    @property
    def needs_middle(self) -> bool:
        """As it is."""
        return self._spaces.needs_middle

    def private(self, flag: int) -> bool:
        """As it is."""
        return self._spaces.private(flag)

    def enter_for_children(self) -> list[int]:
        """As it is."""
        return self._spaces.enter_for_children()

    def leave(self, own: list[int]) -> None:
        """As it is."""
        self._spaces.leave(own)

    def join_all(self) -> None:
        """The process in the middle calls it, and clones init then."""
        _note(self._page, self._at, os.getpid())
        _note(self._page, self._at + 1, time.time_ns())
        self._spaces.join_all()
        _note(self._page, self._at + 2, time.time_ns())


class _Recorder:
    """The shared memory, with a slot for each mark, and what the slots are about.

    file: opened before anything is made. SECURITY: by its path it could be another one later, as the container likes.
    hosts: the one that does the steps, once it has begun.
    middle: the first slot of the process that joins namespaces, where there is one.
    rows: (the plan's list, the step before which the mark stands, or None at the list's end).
    """

    __slots__ = ("file", "hosts", "middle", "page", "rows", "title")

    def __init__(self, plan: Plan, request: Request) -> None:
        self.title = f"{'run' if request.starts else 'create'} {request.ident}"
        self.hosts: list[Host] = []
        self.rows: list[tuple[str, Step | None]] = []
        lists = [name for name, _process, _when in LISTS if name != "launch" or request.starts]
        self.middle = sum(len(getattr(plan, name)) + 1 for name in lists)
        self.page = raw.shared(_SLOT * (self.middle + _MIDDLE_SLOTS))
        try:
            self.file = os.open(request.trace, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as problem:
            raise failure("write the trace", problem, where=request.trace) from None
        if plan.namespaces.needs_middle:
            plan.namespaces = _Timed(plan.namespaces, self.page, self.middle)
        for name in lists:
            self._mark(plan, name)

    def _mark(self, plan: Plan, name: str) -> None:
        """Put a mark before each step of a list, and one at its end, which the last list does not live to see."""
        marked: list[Step] = []
        for step in [*getattr(plan, name), None]:
            at = len(self.rows)
            self.rows.append((name, step))
            if name in ("inside", "launch"):
                file = self.file if name == "inside" and not marked else -1
                marked.append(InsideStep(mark_inside, "", _TEXT, self.page, at, file))
            else:
                marked.append(OutsideStep(mark_outside, "", _TEXT, self.page, at, self.hosts))
            if step:
                marked.append(step)
        setattr(plan, name, marked[:-1] if name == "launch" else marked)

    def finish(self, failed: str) -> None:
        """Write the file. What cannot be written is a warning: the container is there, or the failure said.

        A step that has failed ended when all was given up, not when all was taken back.
        """
        end = next((host.failed for host in self.hosts if failed and host.failed), time.time_ns())
        try:
            chrome.write(self.file, self.title, self._spans(end), failed)
        except OSError as problem:
            log.warning(f"the trace is not written: {words(problem.errno or 0)}")
        finally:
            os.close(self.file)

    def _value(self, at: int) -> int:
        return int.from_bytes(self.page[at * _SLOT : (at + 1) * _SLOT], "little")

    def _spans(self, last: int) -> list[Span]:
        """Each step that was begun, from its mark to the next one of its process, the last one to `last`."""
        processes = {name: process for name, process, _when in LISTS}
        pids = {"runtime": os.getpid(), "init": next((host.pid for host in self.hosts), 0)}
        times = [self._value(at) for at in range(len(self.rows))]
        spans: list[Span] = []
        number = 0
        for at, (name, step) in enumerate(self.rows):
            number += step is not None
            if not times[at]:
                continue
            process = processes[name]
            later = [times[then] for then in range(at + 1, len(self.rows)) if processes[self.rows[then][0]] == process]
            end = next((each for each in later if each), last)
            span = Span(process, pids[process], times[at], end)
            if step:
                span.name, span.number, span.step, span.pointer = sentence(step), number, name_of(step), step.pointer
            elif name in _ABOUT:
                span.name = _ABOUT[name]
            else:
                continue
            spans.append(span)
        return [*spans, *self._joined(last)]

    def _joined(self, last: int) -> list[Span]:
        """What the process in the middle has done, if there was one."""
        pid, begin, end = (self._value(self.middle + each) for each in range(_MIDDLE_SLOTS))
        if not begin:
            return []
        span = Span(MIDDLE, pid, begin, end or last)
        span.name = "join the namespaces"
        return [span]
