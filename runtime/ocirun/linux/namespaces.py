"""linux.namespaces: which are made by the clone, which are joined by path, and who does it.

New namespaces come from the one clone3(2). A path is opened by the parent, on the host, and its type verified there.

* pid and time by path: the parent itself enters them for its children, clones, and goes back; a process cannot change
  its own pid namespace.
* user by path, or user together with any joined namespace: a middle process joins what still needs the host's
  privileges, then the user namespace, and clones the container's process with CLONE_PARENT, so that it is the
  runtime's own child all the same.
* everything else by path: the container's process joins it first of all, the mount namespace last, because that one
  changes what paths mean.
"""

from __future__ import annotations

import _socket
import fcntl
import os

from ocirun.errors import Failure, failure
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.steps import InsideStep, OutsideStep
from ocirun_spec.names import NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.parent import Host
    from ocirun.scene import Scene

SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1
_FOR_CHILDREN: Final = kernel.CLONE_NEWPID | kernel.CLONE_NEWTIME
_EPERM: Final = 1


class Namespaces:
    """What the clone makes (`new`, CLONE_NEW* flags) and what is joined (`opened`, a step by flag).

    A new cgroup namespace is not the clone's: its root is the cgroup of the moment, so `cgroup.enter` makes it. Nor is
    a time namespace with offsets: they can be written only while it is empty, so `timens` makes it.
    """

    __slots__ = ("new", "opened")

    def __init__(self, config: dict[str, Any]) -> None:
        self.new = 0
        self.opened: dict[int, OutsideStep] = {}
        linux: dict[str, Any] = config.get("linux") or {}
        late = kernel.CLONE_NEWCGROUP | (kernel.CLONE_NEWTIME if linux.get("timeOffsets") else 0)
        for at, entry in enumerate(linux.get("namespaces") or ()):
            kind, path = entry["type"], entry.get("path")
            flag = NAMESPACES[kind][0]
            if path:
                text = f"open the {kind} namespace {path}"
                self.opened[flag] = OutsideStep(open_path, f"/linux/namespaces/{at}/path", text, flag, path)
            elif not flag & late:
                self.new |= flag

    def private(self, flag: int) -> bool:
        """Whether the container does not share the runtime's own namespace of this type."""
        return bool(self.new & flag) or flag in self.opened

    @property
    def needs_middle(self) -> bool:
        """Whether a middle process has to join before it clones."""
        others = [flag for flag in self.opened if not flag & _FOR_CHILDREN]
        return kernel.CLONE_NEWUSER in self.opened or bool(self.new & kernel.CLONE_NEWUSER and others)

    def in_order(self) -> list[OutsideStep]:
        """What a process joins by itself; the mount namespace last."""
        apart = _FOR_CHILDREN | kernel.CLONE_NEWNS | kernel.CLONE_NEWUSER
        order = [step for flag, step in self.opened.items() if not flag & apart]
        return order + [step for flag, step in self.opened.items() if flag == kernel.CLONE_NEWNS]

    def enter_for_children(self) -> list[int]:
        """Make the next child start in the joined pid and time namespaces; returns descriptors of the runtime's own."""
        own = []
        for flag, step in self.opened.items():
            if flag & _FOR_CHILDREN:
                name = "pid" if flag == kernel.CLONE_NEWPID else "time"
                own.append(os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC))
                _setns(step)
        return own

    def leave(self, own: list[int]) -> None:
        """Go back to the runtime's own namespaces after the clone."""
        for fd in own:
            kernel.setns(fd, 0)
            os.close(fd)

    def join_all(self) -> None:
        """The middle process: join what the host's privileges open, then the user namespace, then the rest.

        A network namespace of the host can only be joined before the user namespace, one of the container's user
        namespace either way: so each is tried before and, refused with EPERM, again after.
        """
        userns = self.opened.get(kernel.CLONE_NEWUSER)
        later = []
        for step in self.in_order():
            try:
                _setns(step)
            except raw.KernelError as problem:
                if problem.errno != _EPERM or userns is None:
                    raise
                later.append(step)
        if userns is not None:
            _setns(userns)
        for step in later:
            _setns(step)


def name_of(flag: int) -> str:
    """The spec's word for a CLONE_NEW* flag."""
    return next((name for name, (number, _file) in NAMESPACES.items() if number == flag), hex(flag))


def prepare(namespaces: Namespaces) -> list[OutsideStep]:
    """Open and verify each path, before anything is made."""
    return list(namespaces.opened.values())


def inside(namespaces: Namespaces) -> list[InsideStep]:
    """Join, unless a middle process has done it, and bring the loopback of a new network namespace up."""
    steps = []
    if not namespaces.needs_middle:
        for opened in namespaces.in_order():
            flag, path = opened.args
            text = f"join the {name_of(flag)} namespace {path}"
            steps.append(InsideStep(join, opened.pointer, text, opened))
    if namespaces.new & kernel.CLONE_NEWNET:
        steps.append(InsideStep(raise_loopback, "/linux/namespaces", "bring the loopback interface up"))
    return steps


def open_path(step: OutsideStep, _host: Host | None = None) -> None:
    """Open a namespace file and ask the kernel for its type (ioctl NS_GET_NSTYPE)."""
    flag, path = step.args
    try:
        step.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as problem:
        raise failure(step.text, problem, where=step.pointer) from None
    try:
        found = kernel.namespace_type(step.fd)
    except raw.KernelError:
        raise Failure(f"{path} is not a namespace: a {name_of(flag)} namespace is wanted", where=step.pointer) from None
    if found != flag:
        what = f"{path} is a {name_of(found)} namespace: a {name_of(flag)} namespace is wanted"
        raise Failure(what, where=step.pointer)


def join(step: InsideStep, _scene: Scene) -> None:
    """setns(2)."""
    _setns(step.args[0])


def raise_loopback(_step: InsideStep, _scene: Scene) -> None:
    """Set IFF_UP on ``lo`` (netdevice(7)): programs expect to reach themselves."""
    link = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        request = bytearray(b"lo".ljust(40, b"\0"))
        fcntl.ioctl(link, SIOCGIFFLAGS, request)
        flags = int.from_bytes(request[16:18], "little") | IFF_UP
        request[16:18] = flags.to_bytes(2, "little")
        fcntl.ioctl(link, SIOCSIFFLAGS, bytes(request))
    except OSError as problem:
        raise raw.KernelError(problem.errno or 0, "ioctl", "SIOCSIFFLAGS lo") from None
    finally:
        link.close()


def _setns(step: OutsideStep) -> None:
    try:
        kernel.setns(step.fd, step.args[0])
    except raw.KernelError as problem:
        problem.detail = step.args[1]
        raise
