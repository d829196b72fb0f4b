"""The channel: what is said arrives, what is odd is refused, what is left over is closed."""

from __future__ import annotations

import array
import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from ocirun import sync
from ocirun.errors import Failure
from ocirun.kernel import raw
from ocirun.sync import Channel, Gone, StepFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = (sync.PID, sync.GO, sync.HOOKS, sync.CONTINUE, sync.MADE, sync.READY, sync.START, sync.WAIT)
WITH_DESCRIPTOR = (sync.TERMINAL, sync.LISTENER)
KINDS = (*PLAIN, *WITH_DESCRIPTOR)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = Channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_kinds_are_apart() -> None:
    assert len({*KINDS, sync.FAILED}) == len(KINDS) + 1
    assert all(len(kind) == 1 for kind in KINDS)


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("payload", [b"", b"123", b"\0\xff\0"])
def test_each_message_both_ways(ends: tuple[Channel, Channel], kind: bytes, payload: bytes) -> None:
    for sender, receiver in (ends, ends[::-1]):
        sender.send(kind, payload)
        assert receiver.expect(kind) == (payload, -1)


def test_messages_keep_their_bounds(ends: tuple[Channel, Channel]) -> None:
    ends[0].send(sync.PID, b"1")
    ends[0].send(sync.READY)
    assert ends[1].receive() == (sync.PID, b"1", -1)
    assert ends[1].receive() == (sync.READY, b"", -1)


def test_a_descriptor_passes_and_closes_on_exec(ends: tuple[Channel, Channel]) -> None:
    reader, writer = os.pipe()
    ends[0].send(sync.TERMINAL, fd=writer)
    os.close(writer)
    _, fd = ends[1].expect(sync.TERMINAL)
    assert not os.get_inheritable(fd)
    os.write(fd, b"through")
    os.close(fd)
    assert os.read(reader, 100) == b"through"
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_both_ends_close_on_exec(ends: tuple[Channel, Channel]) -> None:
    assert not any(os.get_inheritable(end.socket.fileno()) for end in ends)


def test_an_unexpected_message_is_refused_and_its_descriptor_closed(ends: tuple[Channel, Channel]) -> None:
    before = open_descriptors()
    ends[0].send(sync.TERMINAL, fd=0)
    with pytest.raises(Failure, match=r"said b't' where b'r' was expected"):
        ends[1].expect(sync.READY)
    assert open_descriptors() == before


def test_a_failure_with_a_descriptor_closes_it(ends: tuple[Channel, Channel]) -> None:
    before = open_descriptors()
    ends[0].send(sync.FAILED, b"1\x002\0call\0detail", fd=0)
    with pytest.raises(StepFailed):
        ends[1].receive()
    assert open_descriptors() == before


def test_more_descriptors_than_one_do_not_come_in(ends: tuple[Channel, Channel]) -> None:
    before = open_descriptors()
    both = array.array("i", [0, 1]).tobytes()
    ends[0].socket.sendmsg([sync.TERMINAL], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, both)])
    _, fd = ends[1].expect(sync.TERMINAL)
    os.close(fd)
    assert open_descriptors() == before


def test_end_of_file(ends: tuple[Channel, Channel]) -> None:
    ends[0].send(sync.READY)
    ends[0].close()
    assert ends[1].receive()[0] == sync.READY
    with pytest.raises(Gone):
        ends[1].receive()
    with pytest.raises(Gone):
        ends[1].expect(sync.READY)
    with pytest.raises(Gone):
        ends[1].send(sync.START)


def test_a_failed_step(ends: tuple[Channel, Channel]) -> None:
    ends[0].send_failure(4, raw.KernelError(errno.ENOENT, "openat2", "/data"))
    with pytest.raises(StepFailed) as caught:
        ends[1].expect(sync.READY)
    failed = caught.value
    assert (failed.step, failed.errno, failed.call, failed.detail) == (4, errno.ENOENT, "openat2", "/data")
    assert str(failed.failure("mount x", "/mounts/0")) == (
        "/mounts/0: mount x (/data): openat2: no such file or directory"
    )
    assert str(failed.failure("mount /data", "")) == "mount /data: openat2: no such file or directory"


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("a\0b", "a\0b"),
        ("bad \udcff byte", "bad ? byte"),
        ("ü", "ü"),
        ("", ""),
        ("x" * 20000, "x" * 4096),
    ],
)
def test_details_of_any_kind(ends: tuple[Channel, Channel], detail: str, shown: str) -> None:
    ends[0].send_failure(-1, raw.KernelError(0, "", detail))
    with pytest.raises(StepFailed) as caught:
        ends[1].receive()
    assert (caught.value.step, caught.value.errno, caught.value.call, caught.value.detail) == (-1, 0, "", shown)


def test_a_descriptor_is_a_detail_too(ends: tuple[Channel, Channel]) -> None:
    """Where a call was given a file by its descriptor, that is the exception's file name."""
    ends[0].send_failure(0, OSError(errno.EACCES, "x", 11))
    with pytest.raises(StepFailed) as caught:
        ends[1].receive()
    assert caught.value.detail == "11"


def test_a_bytes_file_name_is_the_detail(ends: tuple[Channel, Channel]) -> None:
    ends[0].send_failure(0, OSError(errno.EACCES, "x", b"/a\xff"))
    with pytest.raises(StepFailed) as caught:
        ends[1].receive()
    assert caught.value.detail == "/a\ufffd"


@pytest.mark.parametrize(("kinds", "fd"), [(WITH_DESCRIPTOR, -1), (PLAIN, 0)])
def test_a_descriptor_comes_with_those_that_carry_one(
    ends: tuple[Channel, Channel], kinds: tuple[bytes, ...], fd: int
) -> None:
    before = open_descriptors()
    for kind in kinds:
        ends[0].send(kind, fd=fd)
        with pytest.raises(Failure, match=r"malformed"):
            ends[1].receive()
    assert open_descriptors() == before


def test_a_message_that_is_too_long_is_refused_not_cut(ends: tuple[Channel, Channel]) -> None:
    before = open_descriptors()
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]).tobytes())]
    ends[0].socket.sendmsg([sync.TERMINAL + b"1" * 8192], passed)
    ends[0].socket.send(sync.PID + b"1" * 8192)
    for _ in range(2):
        with pytest.raises(Failure, match=r"malformed"):
            ends[1].receive()
    assert open_descriptors() == before


@pytest.mark.parametrize("payload", [b"", b"x", b"-1", b"1 ", b"9" * 5000])
def test_a_pid_is_a_number(ends: tuple[Channel, Channel], payload: bytes) -> None:
    ends[0].send(sync.PID, payload)
    with pytest.raises(Failure, match=r"malformed"):
        ends[1].expect_pid()


@pytest.mark.parametrize(
    "payload",
    [b"", b"1", b"x\x001\0call\0", b"1\0x\0call\0", b"1\x002\0call", b"\0\0\0", b"1\x00-5\0\0", b"1\x009999\0\0"],
)
def test_a_malformed_failure_is_a_sentence(ends: tuple[Channel, Channel], payload: bytes) -> None:
    ends[0].send(sync.FAILED, payload)
    with pytest.raises(Failure, match=r"malformed"):
        ends[1].receive()


def test_an_overlong_payload_is_cut(ends: tuple[Channel, Channel]) -> None:
    ends[0].send(sync.PID, b"1" * 10000)
    _, payload, _ = ends[1].receive()
    assert payload == b"1" * 8191
