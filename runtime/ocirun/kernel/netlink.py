"""rtnetlink(7): network interfaces and their addresses, as messages on a NETLINK_ROUTE socket.

Rules: lengths are checked where they are written, since a value that outgrows its 16-bit field would let its own bytes
be read as further attributes (CVE-2021-43784), and checked again where they are read; only the kernel's answers count;
a refusal becomes a `KernelError` with the kernel's own sentence, where it gives one (NETLINK_EXT_ACK).

Layouts are those of linux/netlink.h, linux/rtnetlink.h, linux/if_link.h and linux/if_addr.h.
"""

from __future__ import annotations

import _socket
import os

from ocirun.kernel import process, raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    Attributes = list[tuple[int, bytes]]

SOL_NETLINK: Final = 270
NETLINK_EXT_ACK: Final = 11
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 0x01
NLM_F_ACK: Final = 0x04
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_CAPPED: Final = 0x100
NLM_F_ACK_TLVS: Final = 0x200
NLM_F_DUMP: Final = 0x300
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLMSGERR_ATTR_MSG: Final = 1
NLA_TYPE_MASK: Final = 0x3FFF

RTM_NEWLINK: Final = 16
RTM_GETLINK: Final = 18
RTM_SETLINK: Final = 19
RTM_NEWADDR: Final = 20
RTM_GETADDR: Final = 22
IFLA_IFNAME: Final = 3
IFLA_NET_NS_FD: Final = 28
IFF_UP: Final = 1
IFNAMSIZ: Final = 16
AF_INET6: Final = 10
RT_SCOPE_UNIVERSE: Final = 0
IFA_ADDRESS: Final = 1
IFA_LOCAL: Final = 2
IFA_LABEL: Final = 3
IFA_BROADCAST: Final = 4
IFA_CACHEINFO: Final = 6
IFA_FLAGS: Final = 8
IFA_RT_PRIORITY: Final = 9
IFA_PROTO: Final = 11
IFA_F_PERMANENT: Final = 0x80

_HEADER: Final = 16
_IFINFOMSG: Final = 16
_IFADDRMSG: Final = 8
_LONGEST_ATTRIBUTE: Final = 0xFFFF - 4
_LONGEST_ANSWER: Final = 1 << 16
_DUMP_TRIES: Final = 8
_SECONDS: Final = 10
_EINVAL: Final = 22
_EBUSY: Final = 16
_EMSGSIZE: Final = 90
_EBADMSG: Final = 74


class Interface:
    """What RTM_NEWLINK says of an interface: its index, name and IFF_* flags."""

    __slots__ = ("flags", "index", "name")

    def __init__(self, index: int, name: str, flags: int) -> None:
        self.index = index
        self.name = name
        self.flags = flags


class Address:
    """One address: struct ifaddrmsg without the index, and its attributes in the kernel's order."""

    __slots__ = ("attributes", "family", "flags", "index", "prefix", "scope")

    def __init__(self, body: bytes) -> None:
        if len(body) < _IFADDRMSG:
            raise raw.KernelError(_EBADMSG, "recvmsg", "an address message is too short")
        self.family, self.prefix, self.flags, self.scope = body[:4]
        self.index = int.from_bytes(body[4:8], "little")
        self.attributes = attributes(body[_IFADDRMSG:])
        for kind, value in self.attributes:
            if kind == IFA_FLAGS:
                self.flags = int.from_bytes(value, "little")

    def body(self, index: int, kept: Attributes) -> bytes:
        """The same address on the interface `index`, with the attributes `kept` only."""
        head = bytes((self.family, self.prefix, self.flags & 0xFF, self.scope))
        return head + index.to_bytes(4, "little") + b"".join(attribute(kind, value) for kind, value in kept)


def attribute(kind: int, value: bytes) -> bytes:
    """One struct rtattr with its value, padded to four bytes.

    SECURITY: the length field has 16 bits; what does not fit is refused, never cut.
    """
    if len(value) > _LONGEST_ATTRIBUTE:
        raise raw.KernelError(_EMSGSIZE, "sendmsg", f"the attribute {kind} of {len(value)} bytes")
    size = len(value) + 4
    return size.to_bytes(2, "little") + kind.to_bytes(2, "little") + value + bytes(-size % 4)


def attributes(data: bytes) -> Attributes:
    """(type, value) of each attribute; refused when a length does not fit what is there."""
    found = []
    at = 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 2], "little")
        if size < 4 or at + size > len(data):
            raise raw.KernelError(_EBADMSG, "recvmsg", "an attribute does not fit its message")
        kind = int.from_bytes(data[at + 2 : at + 4], "little") & NLA_TYPE_MASK
        found.append((kind, data[at + 4 : at + size]))
        at += size + (-size % 4)
    return found


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence number, body) of each message in one answer; refused when a length does not fit."""
    at = 0
    while at + _HEADER <= len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        if size < _HEADER or at + size > len(data):
            raise raw.KernelError(_EBADMSG, "recvmsg", "a message does not fit its datagram")
        kind, flags = (int.from_bytes(data[at + place : at + place + 2], "little") for place in (4, 6))
        yield kind, flags, int.from_bytes(data[at + 8 : at + 12], "little"), data[at + _HEADER : at + size]
        at += size + (-size % 4)


def verdict(body: bytes, flags: int) -> tuple[int, str]:
    """(errno or 0, the kernel's sentence or "") of an NLMSG_ERROR: errno, the request's header, and with
    NLM_F_CAPPED unset the whole request, before the attributes that NLM_F_ACK_TLVS announces."""
    if len(body) < 4 + _HEADER:
        raise raw.KernelError(_EBADMSG, "recvmsg", "an error message is too short")
    errno = -int.from_bytes(body[:4], "little", signed=True)
    told = 4 + (_HEADER if flags & NLM_F_CAPPED or not errno else int.from_bytes(body[4:8], "little"))
    told += -told % 4
    words = ""
    if flags & NLM_F_ACK_TLVS:
        for kind, value in attributes(body[told:]):
            if kind == NLMSGERR_ATTR_MSG:
                words = value.rstrip(b"\0").decode("ascii", "replace")
    return errno, words


def interface(body: bytes) -> Interface:
    """The body of an RTM_NEWLINK."""
    if len(body) < _IFINFOMSG:
        raise raw.KernelError(_EBADMSG, "recvmsg", "an interface message is too short")
    index, flags = (int.from_bytes(body[place : place + 4], "little") for place in (4, 8))
    names = [value for kind, value in attributes(body[_IFINFOMSG:]) if kind == IFLA_IFNAME]
    return Interface(index, os.fsdecode(names[0].rstrip(b"\0")) if names else "", flags)


class Route:
    """A NETLINK_ROUTE socket. It acts on the network namespace in which it was made, wherever its owner goes."""

    __slots__ = ("_last", "_socket")

    def __init__(self) -> None:
        try:
            self._socket = _socket.socket(
                _socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _socket.NETLINK_ROUTE
            )
            self._socket.settimeout(_SECONDS)
            self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        except OSError as problem:
            raise raw.KernelError(problem.errno or 0, "socket", "NETLINK_ROUTE") from None
        self._last = 0

    @classmethod
    def inside(cls, fd: int, own: int) -> Route:
        """A socket of the network namespace `fd`, made by going there and back; `own` is the one to go back to.

        For a process of one thread: the namespace is a thread's.
        """
        process.setns(fd, process.CLONE_NEWNET)
        try:
            return cls()
        finally:
            process.setns(own, process.CLONE_NEWNET)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def find(self, name: str = "", index: int = 0) -> Interface | None:
        """The interface with that name, or else with that index; None where there is none (ENODEV)."""
        try:
            found = self._ask(RTM_GETLINK, _link(index) + (_name(name) if name else b""), "RTM_GETLINK")
        except raw.KernelError as problem:
            if problem.errno == 19:
                return None
            raise
        return interface(found[0]) if found else None

    def change(self, index: int, name: str = "", namespace: int = -1, up: bool = False) -> None:
        """RTM_SETLINK: move the interface to the namespace `namespace`, rename it, bring it up; any of them.

        A name that is taken in the new namespace is refused after the move (EEXIST): look first. A move sets an
        interface down and drops its addresses.
        """
        parts = [_link(index, IFF_UP if up else 0)]
        if namespace >= 0:
            parts.append(attribute(IFLA_NET_NS_FD, namespace.to_bytes(4, "little")))
        if name:
            parts.append(_name(name))
        self._ask(RTM_SETLINK, b"".join(parts), "RTM_SETLINK")

    def addresses(self, index: int) -> list[Address]:
        """The addresses of any family on one interface, in the kernel's order."""
        for _ in range(_DUMP_TRIES):
            found = self._dump(RTM_GETADDR, bytes(_IFADDRMSG))
            if found is not None:
                return [each for each in map(Address, found) if each.index == index]
        raise raw.KernelError(_EBUSY, "RTM_GETADDR", "the addresses of the host change all the time")

    def add(self, body: bytes) -> None:
        """RTM_NEWADDR with an `Address.body`; one that is there already is refused (EEXIST)."""
        self._ask(RTM_NEWADDR, body, "RTM_NEWADDR", NLM_F_CREATE | NLM_F_EXCL)

    def _send(self, kind: int, flags: int, body: bytes, call: str) -> None:
        self._last += 1
        size = _HEADER + len(body)
        head = size.to_bytes(4, "little") + kind.to_bytes(2, "little") + (flags | NLM_F_REQUEST).to_bytes(2, "little")
        try:
            self._socket.sendto(head + self._last.to_bytes(4, "little") + bytes(4) + body, (0, 0))
        except OSError as problem:
            raise raw.KernelError(problem.errno or 0, call) from None

    def _receive(self, call: str) -> Iterator[tuple[int, int, bytes]]:
        """(type, flags, body) of the messages in one datagram that answer the last request."""
        try:
            data, _ancillary, flags, sender = self._socket.recvmsg(_LONGEST_ANSWER)
        except OSError as problem:
            raise raw.KernelError(problem.errno or _EBUSY, call) from None
        if flags & _socket.MSG_TRUNC:
            raise raw.KernelError(_EMSGSIZE, call, "the kernel's answer is longer than expected")
        if sender[0] != 0:  # SECURITY: another process may send here too
            return
        for kind, marks, number, body in messages(data):
            if number == self._last:
                yield kind, marks, body

    def _ask(self, kind: int, body: bytes, call: str, flags: int = 0) -> list[bytes]:
        """One request and the bodies that come before its acknowledgement."""
        self._send(kind, flags | NLM_F_ACK, body, call)
        found = []
        while True:
            for answer, marks, part in self._receive(call):
                if answer != NLMSG_ERROR:
                    found.append(part)
                    continue
                errno, words = verdict(part, marks)
                if errno:
                    raise raw.KernelError(errno, call, words)
                return found

    def _dump(self, kind: int, body: bytes) -> list[bytes] | None:
        """All bodies of a dump; None when something changed meanwhile (NLM_F_DUMP_INTR)."""
        self._send(kind, NLM_F_DUMP, body, "RTM_GETADDR")
        found: list[bytes] = []
        whole = True
        while True:
            for answer, marks, part in self._receive("RTM_GETADDR"):
                whole = whole and not marks & NLM_F_DUMP_INTR
                if answer == NLMSG_ERROR:
                    errno, words = verdict(part, marks)
                    raise raw.KernelError(errno or _EINVAL, "RTM_GETADDR", words)
                if answer == NLMSG_DONE:
                    return found if whole else None
                found.append(part)


def _link(index: int, flags: int = 0) -> bytes:
    """struct ifinfomsg; `flags` are set, none is cleared."""
    return bytes(4) + index.to_bytes(4, "little") + flags.to_bytes(4, "little") * 2


def _name(name: str) -> bytes:
    return attribute(IFLA_IFNAME, os.fsencode(name) + b"\0")
