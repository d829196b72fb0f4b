"""What may come over the channel between the runtime and init, if one of them were not what it is."""

from __future__ import annotations

import array
import os
import socket
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from ocirun import init, mountpoints, parent, starting, state, sync
from ocirun.errors import Failure
from ocirun.kernel import process as kernel
from ocirun.scene import Scene
from ocirun.sync import Channel, Gone, StepFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hypothesis.strategies import SearchStrategy

Message = tuple[bytes, int]
"""The bytes, and how many descriptors come along."""

_KINDS = (
    sync.PID, sync.GO, sync.HOOKS, sync.CONTINUE, sync.MADE, sync.TERMINAL, sync.LISTENER, sync.READY, sync.START,
    sync.WAIT, sync.FAILED, b"?",
)  # fmt: skip
_PAYLOADS = (
    b"", b"1", b"-1", b"x", b"1 2 /a", b"1 2", b"x y z", b"1\0002\0call\0detail", b"9\0-5\0\xff\0\xff", b"1\0x",
    b"\0\0\0", b"9" * 5000, b"\xff" * 9000, b"1" * 20000,
)  # fmt: skip


def messages() -> SearchStrategy[list[Message]]:
    """Some messages, in or out of turn."""
    payload = st.sampled_from(_PAYLOADS) | st.binary(max_size=40)
    head = st.sampled_from(_KINDS) | st.binary(max_size=1)
    data = st.tuples(head, payload).map(lambda parts: b"".join(parts) or b"?")
    return st.lists(st.tuples(data, st.sampled_from((0, 0, 0, 0, 1, 3))), max_size=5)


class _Plan:
    """No steps at all."""

    inside: tuple[()] = ()
    launch: tuple[()] = ()
    outside: tuple[()] = ()

    def step(self, _number: int) -> None:
        """Nobody knows any."""


class _Host:
    """A container whose record is not kept."""

    def __init__(self, base: Path, channel: Channel, child: int) -> None:
        self.entry = state.Entry("box", str(base), -1)
        self.entry.record = self.record = {"id": "box", "pid": child, "cgroup": None, "listener": [f"{base}/no", ""]}
        self.plan = _Plan()
        self.pid = child
        self.pidfd = kernel.pidfd_open(child)
        self.terminal = -1
        self.made: list[bytes] = []
        self.channel = channel


def _ended() -> int:
    """A child that has nothing more to do."""
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    return pid


def _say(channel: Channel, said: list[Message]) -> None:
    try:
        for data, count in said:
            fds = array.array("i", [0] * count).tobytes()
            channel.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if count else [])
        channel.socket.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        return  # nobody listens any more


def _parent_hears(base: Path, said: list[Message], hear: Callable[[Any], None]) -> None:
    """The runtime's side: done, or a `Failure`; and no descriptor is left."""
    before = len(os.listdir("/proc/self/fd"))
    ours, theirs = Channel.pair()
    host = _Host(base, ours, _ended())
    _say(theirs, said)
    try:
        hear(host)
    except (Failure, StepFailed, Gone):
        pass
    finally:
        try:
            os.waitpid(host.pid, 0)
        except ChildProcessError:
            pass
        mountpoints.remove(str(base), host.made)
        for fd in {host.pidfd, host.terminal} - {-1}:
            try:
                os.close(fd)
            except OSError:
                continue
        ours.close()
        theirs.close()
    assert len(os.listdir("/proc/self/fd")) == before, said


def _init_hears(base: Path, said: list[Message]) -> None:
    """Init's side: it ends by itself, whatever it was told."""
    ours, theirs = Channel.pair()
    waiting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    place = str(base / "start")
    (base / "start").unlink(missing_ok=True)
    waiting.bind(place)
    waiting.listen()
    guest = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guest.connect(place)
    pid = os.fork()
    if pid == 0:
        ours.close()
        scene = Scene(theirs, -1)
        scene.waiting = waiting.fileno()
        init.main(_Plan(), scene)  # type: ignore[arg-type]
    theirs.close()
    _say(ours, [(sync.GO, 0), (sync.WAIT, 0)])
    _say(Channel(guest), said)
    last = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    last.connect(place)
    last.send(sync.START)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    for each in (waiting, guest, last, ours.socket):
        each.close()


def _converse(host: Any) -> None:
    parent.converse(host, {})


def _execute(host: Any) -> None:
    starting.execute(host.channel, host.entry, host.pid, state.RUNNING)


def channel(base: Path) -> tuple[SearchStrategy[list[Message]], Callable[[list[Message]], None]]:
    """Every listener, with the same messages."""

    def hear(said: list[Message]) -> None:
        for listener in (_converse, _execute, parent._adopt_from_middle):
            _parent_hears(base, said, listener)
        _init_hears(base, said)

    return messages(), hear
