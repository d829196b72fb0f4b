"""The container process state on the wire: what each connection carries, byte by byte (config-linux.md, Seccomp)."""

from __future__ import annotations

import array
import errno
import json
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from process.box import changed, one_sentence
from process.calls import allowing, number, rule
from process.seccomp_listener import Received
from support.bundle import Config, default_config, with_shell

if TYPE_CHECKING:
    from types import TracebackType

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

DEADLINE = 20.0
TRY = "mkdir /tmp/new; echo status $?"


class Connection:
    """What came through one connection until its end: the bytes, and the descriptors by the place where they came."""

    def __init__(self, link: socket.socket) -> None:
        self.data = b""
        self.fds: dict[int, list[int]] = {}
        link.settimeout(DEADLINE)
        while True:
            room = socket.CMSG_SPACE(4 * array.array("i").itemsize)
            part, ancillary, flags, _ = link.recvmsg(64, room, socket.MSG_CMSG_CLOEXEC)
            assert not flags & socket.MSG_CTRUNC
            for level, kind, content in ancillary:
                assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                self.fds.setdefault(len(self.data), []).extend(array.array("i", content))
            if not part:
                return
            self.data += part


class Recorder:
    """Listens, records each connection to its end, and only then answers the notifications with EMLINK."""

    def __init__(self, box: Box) -> None:
        self.path = Path(f"/tmp/ocirun-{box.ident}.sock")
        self.connections: list[Connection] = []
        self._received: list[Received] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self.path))
        self._socket.listen(8)
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        self.path.unlink()
        for each in self._received:
            each.close()

    def _accept(self) -> None:
        answers = {number(name): -errno.EMLINK for name in ("mkdir", "mkdirat")}
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            with link:
                self.connections.append(Connection(link))
            for fd in (fd for fds in self.connections[-1].fds.values() for fd in fds):
                self._received.append(Received({}, fd, answers))


def notifying(recorder: Recorder, **members: Any) -> Config:
    profile = allowing(rule("SCMP_ACT_NOTIFY", "mkdir", "mkdirat"), listenerPath=str(recorder.path), **members)
    return changed(default_config(), "/linux/seccomp", profile)


@pytest.mark.parametrize("size", [10, 600_000], ids=["short", "longer than a socket holds"])
def test_one_state_and_its_end(box: Box, size: int) -> None:
    """The descriptor comes with the first byte, the document is all there is, and then the connection is closed."""
    with Recorder(box) as recorder:
        out = box.shell(TRY, notifying(recorder, listenerMetadata="m" * size))
        (connection,) = recorder.connections
        ((place, fds),) = connection.fds.items()
        assert (place, len(fds)) == (0, 1)
        assert os.readlink(f"/proc/self/fd/{fds[0]}") == "anon_inode:seccomp notify"
    assert out == "status 1\n"
    document = json.loads(connection.data)
    assert document["fds"] == ["seccompFd"]
    assert document["metadata"] == "m" * size
    assert document["ociVersion"] == document["state"]["ociVersion"]


def test_a_connection_for_each_process(box: Box) -> None:
    """The container and two `exec`s: three connections, each with one state of its own."""
    with Recorder(box) as recorder:
        pid = box.start_sleeper(notifying(recorder))
        for _ in range(2):
            assert box.exec(TRY).ok().out == "status 1\n"
        documents = [json.loads(connection.data) for connection in recorder.connections]
        assert [len(connection.fds) for connection in recorder.connections] == [1, 1, 1]
        box.runtime.kill_and_delete(box.ident)
    assert len({document["pid"] for document in documents}) == 3
    assert [document["state"]["pid"] for document in documents] == [pid] * 3
    assert documents[0]["pid"] == pid
    assert [document["state"]["id"] for document in documents] == [box.ident] * 3
    assert [document["state"]["status"] for document in documents] == ["created", "running", "running"]


def test_without_metadata_there_is_no_such_member(box: Box) -> None:
    with Recorder(box) as recorder:
        box.shell(TRY, notifying(recorder))
        (connection,) = recorder.connections
    assert set(json.loads(connection.data)) == {"ociVersion", "fds", "pid", "state"}


def test_without_a_call_to_notify_the_path_is_ignored(box: Box) -> None:
    profile = allowing(rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat"), listenerPath="/no/such/socket", listenerMetadata="x")
    assert box.shell(TRY, changed(default_config(), "/linux/seccomp", profile)) == "status 1\n"


@pytest.mark.parametrize(("kind", "words"), [("datagram", "protocol wrong type"), ("file", "connection refused")])
def test_what_is_no_stream_socket(box: Box, kind: str, words: str) -> None:
    path = Path(f"/tmp/ocirun-{box.ident}.sock")
    profile = allowing(rule("SCMP_ACT_NOTIFY", "mkdir", "mkdirat"), listenerPath=str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        if kind == "datagram":
            other.bind(str(path))
        else:
            path.touch()
        try:
            result = box.run(with_shell(changed(default_config(), "/linux/seccomp", profile), "echo ran")).expect(1)
        finally:
            path.unlink()
    assert result.out == ""
    assert f"/linux/seccomp/listenerPath: send the container process state to {path}" in one_sentence(result)
    assert words in result.last_error


def test_a_listener_that_hangs_up(box: Box) -> None:
    """The state is longer than what a socket holds, so that sending fails; the program does not run."""
    path = Path(f"/tmp/ocirun-{box.ident}.sock")
    profile = allowing(rule("SCMP_ACT_NOTIFY", "mkdir", "mkdirat"), listenerPath=str(path))
    profile["listenerMetadata"] = "m" * 600_000
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def hang_up() -> None:
            link, _ = listener.accept()
            link.recv(1)
            link.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            config = with_shell(changed(default_config(), "/linux/seccomp", profile), "echo ran")
            result = box.run(config).expect(1)
        finally:
            thread.join()
            path.unlink()
    assert result.out == ""
    assert f"/linux/seccomp/listenerPath: send the container process state to {path}" in one_sentence(result)
