"""D-Bus to a service manager: method calls, and the end of jobs, over one AF_UNIX socket with one deadline. Cold.

Messages are made and read by jeepney; the socket, the authentication and the time limit are here, because the
connection has to work where euid 0 is another user outside (a user namespace): the other side takes the kernel's word
for who we are. See the D-Bus specification, "Authentication Protocol", EXTERNAL without an identity.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Any, Final, Self

from jeepney import DBusAddress, HeaderFields, Message, MessageType, Parser, new_method_call
from jeepney.bus import find_session_bus, find_system_bus

from ocirun.errors import Failure, words

SYSTEMD: Final = "org.freedesktop.systemd1"
_MANAGER: Final = DBusAddress("/org/freedesktop/systemd1", SYSTEMD, f"{SYSTEMD}.Manager")
_DAEMON: Final = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
_REMOVED: Final = "JobRemoved"
_SECONDS: Final = 30.0
"""For everything that is done over one connection, as runc waits for a job."""
_ETIMEDOUT: Final = 110
_EPIPE: Final = 32
_EBADMSG: Final = 74
_LONGEST_GREETING: Final = 4096


class Refused(Exception):
    """An answer that is an error: `name` (org.freedesktop.systemd1.UnitExists) and its text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.text = text


class Bus:
    """One connection. Raises OSError when it breaks or the time is over, Refused for an error in answer to a call.

    direct: to the manager's own socket, where there is no daemon in between that has to be greeted.
    """

    def __init__(self, path: str, direct: bool) -> None:
        self._deadline = time.monotonic() + _SECONDS
        self._parser = Parser()
        self._serial = 0
        self._removed: dict[str, str] = {}
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._limit()
            self._link.connect(path)
            self._authenticate()
            if not direct:
                self._call(_DAEMON, "Hello")
                rule = f"type='signal',sender='{SYSTEMD}',interface='{SYSTEMD}.Manager',member='{_REMOVED}'"
                self._call(_DAEMON, "AddMatch", "s", (rule,))
                self.manager("Subscribe")
        except BaseException:
            self._link.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_about: object) -> None:
        self._link.close()

    def manager(self, member: str, signature: str = "", body: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        """A method of org.freedesktop.systemd1.Manager."""
        return self._call(_MANAGER, member, signature, body)

    def path(self, member: str, signature: str, body: tuple[Any, ...]) -> str:
        """A method that returns an object's path."""
        answer = self.manager(member, signature, body)
        if len(answer) != 1 or not isinstance(answer[0], str):
            raise _no_answer()
        return answer[0]

    def property(self, path: str, interface: str, name: str) -> str:
        """A property of an object, which is text."""
        place = DBusAddress(path, SYSTEMD, "org.freedesktop.DBus.Properties")
        answer = self._call(place, "Get", "ss", (f"{SYSTEMD}.{interface}", name))
        if len(answer) != 1 or len(answer[0]) != 2 or not isinstance(answer[0][1], str):
            raise _no_answer()
        return answer[0][1]

    def job(self, member: str, signature: str, body: tuple[Any, ...]) -> str:
        """A method that returns a job; waits for its end and returns its result (``done``, ``failed``, …)."""
        path = self.path(member, signature, body)
        while path not in self._removed:
            self._take(self._next())
        return self._removed[path]

    def _call(
        self, place: DBusAddress, member: str, signature: str = "", body: tuple[Any, ...] = ()
    ) -> tuple[Any, ...]:
        self._serial += 1
        self._limit()
        self._link.sendall(new_method_call(place, member, signature or None, body).serialise(self._serial))
        while True:
            message = self._next()
            fields = message.header.fields
            if fields.get(HeaderFields.reply_serial) != self._serial:
                self._take(message)
                continue
            if message.header.message_type is MessageType.error:
                raise Refused(str(fields.get(HeaderFields.error_name, "")), str((*message.body, "")[0]))
            return tuple(message.body)

    def _take(self, message: Message) -> None:
        """Keep the end of a job; anything else that nobody waits for is dropped."""
        if message.header.fields.get(HeaderFields.member) == _REMOVED and len(message.body) > 3:
            _number, path, _unit, result = message.body[:4]
            self._removed[path] = result

    def _next(self) -> Message:
        """What is no message makes the parser raise whatever it stumbles over."""
        while True:
            try:
                message = self._parser.get_next_message()
            except (ArithmeticError, LookupError, ValueError, TypeError, struct.error):
                raise _no_answer() from None
            if message is not None:
                return message
            self._parser.add_data(self._receive())

    def _receive(self) -> bytes:
        self._limit()
        data = self._link.recv(1 << 16)
        if not data:
            raise OSError(_EPIPE, os.strerror(_EPIPE))
        return data

    def _limit(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise OSError(_ETIMEDOUT, os.strerror(_ETIMEDOUT))
        self._link.settimeout(left)

    def _authenticate(self) -> None:
        """All at once; the answers are ``DATA`` and ``OK guid``, after which messages follow."""
        self._link.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
        said = b""
        while said.count(b"\r\n") < 2:
            if len(said) > _LONGEST_GREETING:
                raise _no_answer()
            said += self._receive()
        lines = said.split(b"\r\n", 2)
        if not lines[1].startswith(b"OK "):
            raise PermissionError(13, os.strerror(13))
        self._parser.add_data(lines[2])


def _no_answer() -> OSError:
    return OSError(_EBADMSG, os.strerror(_EBADMSG))


def connect(user: bool) -> Bus:
    """To the system's manager, or to that of the calling user; a Failure tells of each place that was tried."""
    tried = []
    for path, direct in places(user):
        try:
            return Bus(path, direct)
        except TimeoutError:
            tried.append(f"{path}: {words(_ETIMEDOUT)}")
        except OSError as problem:
            tried.append(f"{path}: {words(problem.errno or _EPIPE)}")
        except Refused as problem:
            tried.append(f"{path}: {problem.text}")
    whose = "the user's systemd" if user else "systemd"
    where = "; ".join(tried) or "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set"
    raise Failure(f"--systemd-cgroup: reach {whose}: {where}", hint="without --systemd-cgroup no systemd is needed")


def places(user: bool) -> list[tuple[str, bool]]:
    """(socket, whether it is the manager's own), the more direct first, but a user's bus address before all."""
    found = [] if user else [("/run/systemd/private", True)]
    try:
        found.append((find_session_bus() if user else find_system_bus(), False))
    except (KeyError, ValueError, RuntimeError):
        pass  # the variable is missing, or names no socket
    if not user:
        return found
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if folder:
        found += [(f"{folder}/bus", False), (f"{folder}/systemd/private", True)]
    return list(dict.fromkeys(found))
