"""One way to write what waits, and two to do it: in the caller's thread, or in its event loop.

What waits is a generator of descriptors with the events of poll(2) that it waits for; it is sent those that are ready,
and returns its result. Nothing polls by time, and no thread is made.
"""

from __future__ import annotations

import select
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
Waiting = Generator[dict[int, int], list[int], T]

_LONGEST = 1 << 30


def here(waiting: Waiting[T], timeout: float | None = None) -> T:
    """Its result; TimeoutError after `timeout` seconds."""
    until = None if timeout is None else time.monotonic() + timeout
    try:
        wanted = next(waiting)
        while True:
            wanted = waiting.send(_ready(wanted, until))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        waiting.close()


def _ready(wanted: dict[int, int], until: float | None) -> list[int]:
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    while True:
        left = _LONGEST if until is None else max(0, int((until - time.monotonic()) * 1000) + 1)
        ready = [fd for fd, _ in poll.poll(min(left, _LONGEST))]
        if ready:
            return ready
        if until is not None and time.monotonic() >= until:
            raise TimeoutError("the time to wait is over")


async def in_loop(waiting: Waiting[T]) -> T:
    """Its result, while other tasks of the event loop go on. It can be cancelled."""
    import asyncio

    loop = asyncio.get_running_loop()
    try:
        wanted = next(waiting)
        while True:
            awaken: asyncio.Future[int] = loop.create_future()
            for fd, events in wanted.items():
                (loop.add_reader if events & select.POLLIN else loop.add_writer)(fd, _wake, awaken, fd)
            try:
                ready = await awaken
            finally:
                for fd, events in wanted.items():
                    (loop.remove_reader if events & select.POLLIN else loop.remove_writer)(fd)
            wanted = waiting.send([ready])
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        waiting.close()


def _wake(awaken: asyncio.Future[int], fd: int) -> None:
    if not awaken.done():
        awaken.set_result(fd)
