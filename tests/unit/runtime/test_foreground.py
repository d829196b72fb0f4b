"""The terminal settings of a foreground run, compared with the C library's on real terminals."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import termios
from typing import TYPE_CHECKING

import pytest

from ocirun import foreground

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def terminal() -> Iterator[int]:
    master, slave = pty.openpty()
    yield slave
    os.close(master)
    os.close(slave)


def get(fd: int) -> bytes:
    attributes = bytearray(36)
    fcntl.ioctl(fd, foreground.TCGETS, attributes)
    return bytes(attributes)


def cfmakeraw(fd: int) -> bytes:
    """Let the C library do it, and read what the kernel then holds."""
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = ctypes.create_string_buffer(256)
    assert libc.tcgetattr(fd, attributes) == 0
    libc.cfmakeraw(attributes)
    assert libc.tcsetattr(fd, termios.TCSANOW, attributes) == 0
    return get(fd)


def test_constants_are_the_kernels() -> None:
    assert (foreground.TCGETS, foreground.TCSETS) == (termios.TCGETS, termios.TCSETS)
    assert (foreground.TIOCGWINSZ, foreground.TIOCSWINSZ) == (termios.TIOCGWINSZ, termios.TIOCSWINSZ)


@pytest.mark.parametrize("everything", [False, True])
def test_raw_attributes_are_those_of_cfmakeraw(terminal: int, everything: bool) -> None:
    if everything:
        iflag, oflag, cflag, lflag, *rest = termios.tcgetattr(terminal)
        cflag = cflag & ~termios.CSIZE | termios.CS7 | termios.PARENB
        termios.tcsetattr(terminal, termios.TCSANOW, [iflag | 0o7777, oflag | 0o7, cflag, lflag | 0o100177, *rest])
    before = get(terminal)
    ours = foreground.raw_attributes(before)
    assert ours != before
    assert len(ours) == len(before)
    assert ours == cfmakeraw(terminal)


def test_the_kernel_takes_them_and_gives_the_old_ones_back(terminal: int) -> None:
    before = get(terminal)
    fcntl.ioctl(terminal, foreground.TCSETS, foreground.raw_attributes(before))
    _iflag, oflag, cflag, lflag, _ispeed, _ospeed, characters = termios.tcgetattr(terminal)
    assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
    assert not oflag & termios.OPOST
    assert cflag & termios.CSIZE == termios.CS8
    assert (characters[termios.VMIN], characters[termios.VTIME]) in ((b"\1", b"\0"), (1, 0))
    fcntl.ioctl(terminal, foreground.TCSETS, before)
    assert get(terminal) == before


def test_raw_twice_is_raw(terminal: int) -> None:
    once = foreground.raw_attributes(get(terminal))
    assert foreground.raw_attributes(once) == once
