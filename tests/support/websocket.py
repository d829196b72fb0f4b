"""A client of a WebSocket (RFC 6455), as far as Kubernetes' streams need it.

Rules: each message is one binary frame whose first byte is the number of a channel; messages are short enough to be
kept in memory; a read without an answer ends with TimeoutError.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
from collections import defaultdict
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

PROTOCOL = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS, RESIZE = range(5)
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
TIMEOUT = 30.0


class Channels:
    """A connection to `url` whose messages are sorted by channel; `PROTOCOL` is Kubernetes' name for this."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.received: defaultdict[int, bytes] = defaultdict(bytes)
        self._socket = socket.create_connection((parts.hostname, parts.port), TIMEOUT)
        self._stream = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        request = [
            f"GET {parts.path}?{parts.query} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Sec-WebSocket-Protocol: {PROTOCOL}",
        ]
        self._socket.sendall("\r\n".join([*request, "", ""]).encode())
        head = b"".join(iter(self._stream.readline, b"\r\n")).decode()
        if not head.startswith("HTTP/1.1 101 "):
            self.close()
            raise AssertionError(f"no websocket: {head}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
        self._socket.close()

    def send(self, channel: int, data: bytes) -> None:
        """One message; a frame of a client is masked (section 5.3)."""
        self._frame(BINARY, bytes([channel]) + data)

    def read_until(self, channel: int, pattern: bytes) -> bytes:
        """All that came on the channel, when `pattern` is in it; AssertionError when the other side hangs up first."""
        while pattern not in self.received[channel]:
            if not self._receive():
                raise AssertionError(f"{pattern!r} did not come on channel {channel}: {dict(self.received)}")
        return self.received[channel]

    def read_to_end(self) -> dict[int, bytes]:
        """What came on each channel until the other side hung up."""
        while self._receive():
            pass
        return dict(self.received)

    def _frame(self, opcode: int, payload: bytes) -> None:
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack("!BH", 0x80 | 126, len(payload))
        # A mask of zeros leaves the payload as it is.
        self._socket.sendall(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    def _receive(self) -> bool:
        """Take one frame (section 5.2); False when it was the last."""
        head = self._stream.read(2)
        if len(head) < 2:
            return False
        length = head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._stream.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._stream.read(8))
        payload = self._stream.read(length)
        opcode = head[0] & 0x0F
        if opcode == PING:
            self._frame(PONG, payload)
        elif opcode == BINARY and payload:
            self.received[payload[0]] += payload[1:]
        return opcode != CLOSE
