"""Headless Chromium, driven through the pipes of `--remote-debugging-pipe`: JSON messages that end in a NUL.

Rules: a browser has a profile of its own and is killed with all its processes at the end of the `with` statement; every
answer is awaited with a deadline. Methods and events are those of the Chrome DevTools Protocol.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import select
import shutil
import signal
import tempfile
import time
from typing import TYPE_CHECKING, Any, Self

from .facility import _tried, find_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

SECONDS = 30.0
"""For one answer."""

FLAGS = (
    "--headless",
    "--no-sandbox",  # it does not start as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
)


@functools.cache
def chromium() -> str:
    """Chromium is installed and starts."""
    return _tried("chromium", "--version")


def _pipe() -> tuple[int, int]:
    """With numbers that dup2(2) to 3 and 4 overwrites none of."""
    reader, writer = os.pipe()
    found = tuple(fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 5) for each in (reader, writer))
    os.close(reader)
    os.close(writer)
    return found[0], found[1]


class Browser:
    """One Chromium with one page. events: all that it told so far, as (method, parameters)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        self._number = 0
        self._session = ""
        self._rest = b""
        theirs_in, self._to = _pipe()
        self._from, theirs_out = _pipe()
        program = find_program("chromium") or "chromium"
        # it wants its pipes as 3 and 4, which subprocess cannot do
        self._pid = os.posix_spawn(
            program,
            [program, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            {**os.environ, "HOME": self._profile},
            file_actions=[
                *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)),
                (os.POSIX_SPAWN_DUP2, theirs_in, 3),
                (os.POSIX_SPAWN_DUP2, theirs_out, 4),
            ],
            setsid=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def __enter__(self) -> Self:
        try:
            target = self.send("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.send(f"{domain}.enable")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all its processes and remove its profile."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method; its result, or AssertionError."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while True:
            answer = self._message(end)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def await_event(self, method: str) -> dict[str, Any]:
        """The parameters of the next event of this kind since the last `open`."""
        return self._await(lambda: next((said for name, said in self.events if name == method), None))

    def _await(self, found: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while (answer := found()) is None:
            self._message(end)
        return answer

    def _message(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._from, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a file, until all of it is there."""
        self.events.clear()
        self.send("Page.navigate", url="about:blank")  # another fragment alone would load nothing
        self.await_event("Page.loadEventFired")
        self.events.clear()
        self.send("Page.navigate", url=page.as_uri() + fragment)
        self.await_event("Page.loadEventFired")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """The window's size in CSS pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for since the last `open`, by whatever in the page."""
        return [said["request"]["url"] for name, said in self.events if name == "Network.requestWillBeSent"]
