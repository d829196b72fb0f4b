"""Stands in for runc's example seccomp agent: mkdir is made with the metadata as a suffix, chmod finds no medium.

Its options are that agent's. What it is asked is answered as runc's tests expect; other system calls go on.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import os
import socket
import struct
import sys
import threading
from typing import Any

SECCOMP_IOCTL_NOTIF_RECV = 0xC0502100
SECCOMP_IOCTL_NOTIF_SEND = 0xC0182101
SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1
NOTIFICATION = struct.Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, pid, flags, and seccomp_data: nr, arch, instruction pointer, args."""
RESPONSE = struct.Struct("=QqiI")
MKDIR, CHMODS = 83, (90, 91, 268)
"""Numbers of x86_64, the only machine for which the suite runs these tests."""


def path_argument(pid: int, address: int) -> str:
    """The string of a waiting process at this address."""
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        return os.pread(memory, 4096, address).split(b"\0")[0].decode()
    finally:
        os.close(memory)


def answer(fd: int, metadata: str) -> None:
    """Takes one notification and answers it."""
    notification = bytearray(NOTIFICATION.size)
    fcntl.ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, notification)
    ident, pid, _, number, _, _, address, mode, *_ = NOTIFICATION.unpack(notification)
    failure, flags = 0, 0
    if number == MKDIR:
        path = path_argument(pid, address)
        base = "root" if path.startswith("/") else "cwd"
        os.mkdir(f"/proc/{pid}/{base}/{path}-{metadata}", mode)
    elif number in CHMODS:
        failure = -errno.ENOMEDIUM
    else:
        flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE
    fcntl.ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, RESPONSE.pack(ident, 0, failure, flags))


def serve(fd: int, metadata: str) -> None:
    """Until no process with this filter is left, or one was killed while it waited."""
    try:
        while True:
            answer(fd, metadata)
    except OSError as error:
        print(f"seccompagent: {error}", file=sys.stderr)
    finally:
        os.close(fd)


def parsed(text: bytes) -> dict[str, Any] | None:
    """A container process state, or None while a part is missing."""
    try:
        state: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return state


def received(connection: socket.socket) -> tuple[int, str]:
    """The listening descriptor, and the metadata of the container process state that comes with it."""
    with connection:
        text, fds, _, _ = socket.recv_fds(connection, 4096, 1)
        while (state := parsed(text)) is None:  # a runtime may keep its side open
            text += connection.recv(4096)
    return fds[state["fds"].index("seccompFd")], state.get("metadata", "")


def main() -> None:
    """Serves every container that connects, until it is killed."""
    os.closerange(3, 256)  # of bats, which waits until nobody has them any more
    parser = argparse.ArgumentParser()
    parser.add_argument("-socketfile", required=True)
    parser.add_argument("-pid-file", type=argparse.FileType("w"), required=True)
    options = parser.parse_args()
    with options.pid_file as pid_file:
        print(os.getpid(), file=pid_file)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(options.socketfile)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=received(connection), daemon=True).start()


if __name__ == "__main__":
    main()
