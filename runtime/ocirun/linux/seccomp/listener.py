"""SCMP_ACT_NOTIFY on the runtime's side: the descriptor goes on to the listener, with the container process state.

The listener is the program behind `linux.seccomp.listenerPath` (config-linux.md, The Container Process State). Loaded
only when a container's process has sent the message LISTENER.
"""

from __future__ import annotations

import _socket
import os

from ocirun import SPEC_VERSION
from ocirun.errors import Failure, failure
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

POINTER: Final = "/linux/seccomp/listenerPath"
_SECONDS: Final = 10
"""How long connecting and sending may take each, so that a listener that does not read cannot hold a command."""
_NOTIFIER: Final = "anon_inode:seccomp notify"


def deliver(path: str, metadata: str, pid: int, state: dict[str, Any], fd: int) -> None:
    """Send the descriptor with the state to the listener at `path`; a `Failure` when it cannot be reached.

    pid: the process that loaded the filter, as the runtime sees it; state: the container's, of runtime.md.
    """
    if os.readlink(f"/proc/self/fd/{fd}") != _NOTIFIER:
        raise Failure("the container's first process sent no seccomp descriptor", where=POINTER)
    document: dict[str, Any] = {"ociVersion": SPEC_VERSION, "fds": ["seccompFd"], "pid": pid}
    if metadata:
        document["metadata"] = metadata
    document["state"] = state
    try:
        _send(path, jsontext.dumps(document).encode("utf-8", "surrogateescape"), fd)
    except OSError as problem:
        raise failure(f"send the container process state to {path}", problem, where=POINTER) from None


def _send(path: str, data: bytes, fd: int) -> None:
    """One connection for one state; the descriptor goes with the first byte, as config-linux.md wants it."""
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        patience = _SECONDS.to_bytes(8, "little") + bytes(8)
        link.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, patience)
        # By descriptor: a path may be longer than sun_path's 108 bytes.
        link.connect(f"/proc/self/fd/{place}")
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))]
        sent = link.sendmsg([data], rights, _socket.MSG_NOSIGNAL)
        while sent < len(data):
            sent += link.send(data[sent:], _socket.MSG_NOSIGNAL)
    finally:
        link.close()
        os.close(place)
