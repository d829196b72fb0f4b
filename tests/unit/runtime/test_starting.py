"""After START: end-of-file is success, one listener may be served before, and whatever else is said is refused."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from ocirun import starting, state, sync
from ocirun.errors import Failure
from ocirun.linux.seccomp import listener
from ocirun.sync import Channel, StepFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

Message = tuple[bytes, bool]


@pytest.fixture
def entry() -> state.Entry:
    made = state.Entry("ident", "/nowhere", -1)
    made.record = {"id": "ident", "pid": 7, "listener": ["/run/agent.sock", "metadata"]}
    return made


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    pair = Channel.pair()
    yield pair
    for end in pair:
        end.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a listener would have been told, without the descriptors."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(listener, "deliver", lambda *arguments: calls.append(arguments[:-1]))
    return calls


def say(channel: Channel, *messages: Message) -> None:
    """Messages that wait in the socket, each with or without a descriptor; then the end."""
    for kind, with_fd in messages:
        fd = os.open("/dev/null", os.O_RDONLY) if with_fd else -1
        channel.send(kind, fd=fd)
        if with_fd:
            os.close(fd)
    channel.socket.shutdown(1)


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_end_of_file_is_success(ends: tuple[Channel, Channel], entry: state.Entry, told: list[Any]) -> None:
    say(ends[1])
    starting.execute(ends[0], entry, 7, state.CREATED)
    assert ends[1].expect(sync.START) == (b"", -1)
    assert told == []


def test_a_listener_is_told_and_the_process_goes_on(
    ends: tuple[Channel, Channel], entry: state.Entry, told: list[Any]
) -> None:
    say(ends[1], (sync.LISTENER, True))
    before = descriptors()
    starting.execute(ends[0], entry, 8, state.RUNNING)
    assert descriptors() == before
    assert told == [("/run/agent.sock", "metadata", 8, entry.oci(state.RUNNING))]
    ends[1].expect(sync.START)
    ends[1].expect(sync.CONTINUE)


@pytest.mark.parametrize(
    ("known", "messages"),
    [
        (False, [(sync.LISTENER, True)]),
        (True, [(sync.LISTENER, True), (sync.LISTENER, True)]),
        (True, [(sync.TERMINAL, True)]),
        (True, [(sync.READY, False)]),
    ],
    ids=["no listener configured", "twice", "terminal", "ready"],
)
def test_what_may_not_come_is_refused(
    ends: tuple[Channel, Channel], entry: state.Entry, told: list[Any], known: bool, messages: list[Message]
) -> None:
    if not known:
        entry.record["listener"] = None
    say(ends[1], *messages)
    before = descriptors()
    with pytest.raises(Failure, match="instead of executing its program"):
        starting.execute(ends[0], entry, 7, state.CREATED)
    assert descriptors() == before
    assert len(told) == len(messages) - 1


@pytest.mark.parametrize(("with_fd", "said"), [(True, "sent no seccomp descriptor"), (False, "malformed")])
def test_only_a_seccomp_descriptor_is_passed_on(
    ends: tuple[Channel, Channel], entry: state.Entry, with_fd: bool, said: str
) -> None:
    say(ends[1], (sync.LISTENER, with_fd))
    with pytest.raises(Failure, match=said):
        starting.execute(ends[0], entry, 7, state.CREATED)


def test_a_failed_step_is_told(ends: tuple[Channel, Channel], entry: state.Entry) -> None:
    ends[1].send_failure(3, OSError(2, "no"))
    with pytest.raises(StepFailed):
        starting.execute(ends[0], entry, 7, state.CREATED)
