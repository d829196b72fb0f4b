"""A bus that answers nothing, or nonsense: `--systemd-cgroup` fails in one sentence, within a bounded time."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from security.lives import WHOLE
from security.test_scarcity import assert_one_sentence
from support.bundle import default_config, with_cgroup
from support.host import HostSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from security.box import Box

pytestmark = [pytest.mark.security, pytest.mark.privileged]

GREETING = b"DATA\r\nOK 0123456789abcdef\r\n"
ANSWERS = {
    "closes": (b"", "/bus: "),
    "babbles": (b"\xff" * 9000, "bad message"),
    "lines": (b"\xff\r\n" * 9, "permission denied"),
    "no message": (GREETING + b"\xff" * 400, "bad message"),
    "an empty message": (GREETING + b"l\x02\x01\x01" + bytes(400), "bad message"),
}


@contextmanager
def bus(path: Path, answer: bytes | None) -> Iterator[dict[str, str]]:
    """The environment that names a bus which says this to everybody; it hangs up for nothing, and waits for None."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    kept = []

    def serve() -> None:
        while True:
            try:
                link, _address = listener.accept()
            except OSError:
                return
            if answer == b"":
                link.close()
                continue
            kept.append(link)
            link.sendall(answer or b"")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={path}"}
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10.0)
        listener.close()
        for each in kept:
            each.close()


def create(box: Box, env: dict[str, str], words: str) -> None:
    """Fails with these words, and leaves nothing."""
    bundle = box.write(with_cgroup(default_config(), f"bad.slice:bus:{box.ident}"))
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    argv = box.command("--systemd-cgroup", "create", "--bundle", str(bundle), box.ident)
    assert_one_sentence(box.raw(*argv, env=env, timeout=90).expect(1).err, words)
    before.assert_unchanged()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_bus_that_says_nonsense(box: Box, name: str) -> None:
    answer, words = ANSWERS[name]
    with bus(box.base / "bus", answer) as env:
        create(box, env, words)


@pytest.mark.skipif(not WHOLE, reason="not this lane: 30 seconds, ./dev faults has them")
def test_a_bus_that_never_answers(box: Box) -> None:
    with bus(box.base / "bus", None) as env:
        create(box, env, "connection timed out")


@pytest.mark.parametrize("address", ["nonsense", "tcp:host=localhost"])
def test_an_address_that_is_none(box: Box, address: str) -> None:
    create(box, {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address}, "reach systemd: /run/systemd/private: no such file")
