"""process.terminal: a pty of the container's own devpts, its master handed out, its slave /dev/console and the stdio.

SECURITY: the slave is opened from the master (ioctl TIOCGPTPEER), never by its name, and the bound file is that very
descriptor (CVE-2025-52565); the master is checked to lie on a devpts.
"""

from __future__ import annotations

import _socket
import fcntl
import os

from ocirun.errors import Failure, failure
from ocirun.kernel import files, mount, raw
from ocirun.steps import InsideStep, OutsideStep
from ocirun.sync import TERMINAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.parent import Host
    from ocirun.scene import Scene

TIOCSCTTY: Final = 0x540E
TIOCSWINSZ: Final = 0x5414
TIOCSPTLCK: Final = 0x40045431
TIOCGPTPEER: Final = 0x5441


def window(height: int, width: int) -> bytes:
    """struct winsize of ioctl_tty(2): rows, columns, and the unused pixel sizes."""
    return height.to_bytes(2, "little") + width.to_bytes(2, "little") + bytes(4)


def prepare(console_socket: str) -> list[OutsideStep]:
    """Connect to the engine's console socket, before anything is made."""
    if not console_socket:
        return []
    return [OutsideStep(connect, "", f"connect to the console socket {console_socket}", console_socket)]


def inside(process: dict[str, Any], pointer: str, connected: list[OutsideStep], bind: bool) -> list[InsideStep]:
    """One step when a terminal is wanted; after the mounts, since the devpts is one of them.

    bind: make it /dev/console too: for the container's first process, not for `exec`.
    """
    if not process.get("terminal"):
        return []
    size = process.get("consoleSize") or {}
    winsize = window(size.get("height", 0), size.get("width", 0)) if size else b""
    uid = (process.get("user") or {}).get("uid", 0)
    socket = connected[0] if connected else None
    return [InsideStep(open_pty, f"{pointer}/terminal", "open a terminal", socket, winsize, uid, bind)]


def connect(step: OutsideStep, _host: Host) -> None:
    """connect(2) to an AF_UNIX stream socket."""
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        link.connect(step.args[0])
    except OSError as problem:
        link.close()
        raise failure(step.text, problem, where="--console-socket") from None
    step.fd = link.detach()


def open_pty(step: InsideStep, scene: Scene) -> None:
    """Make the pty, bind it on /dev/console, hand the master out, and make the slave the controlling terminal."""
    socket, winsize, uid, bind = step.args
    master = _open_master(scene.root)
    fcntl.ioctl(master, TIOCSPTLCK, bytes(4))
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    slave = raw.call("ioctl", raw.IOCTL, master, TIOCGPTPEER, flags, detail="TIOCGPTPEER")
    if winsize:
        fcntl.ioctl(master, TIOCSWINSZ, winsize)
    if uid:
        os.fchown(slave, uid, -1)
    if bind:
        _bind_console(scene, slave)
    _hand_out(scene, socket, master)
    os.close(master)
    raw.call("setsid", raw.SETSID)
    fcntl.ioctl(slave, TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.close(slave)


def _open_master(root: int) -> int:
    """Open the container's ptmx by descriptor, in its root."""
    resolve = files.RESOLVE_IN_ROOT | files.RESOLVE_NO_SYMLINKS
    master = files.openat2(root, b"dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY, resolve)
    if files.statfs_type(master) != files.DEVPTS_SUPER_MAGIC:
        raise raw.KernelError(19, "fstatfs", "/dev/pts/ptmx is not on a devpts")
    return master


def _bind_console(scene: Scene, slave: int) -> None:
    """The slave's own file over /dev/console."""
    dev = files.make_directories(scene.root, b"dev")
    try:
        target = files.make_file(dev, b"console", 0o600)
    finally:
        os.close(dev)
    copied = mount.copy(slave, False)
    mount.move_mount(copied, target)
    os.close(copied)
    os.close(target)


def _hand_out(scene: Scene, socket: OutsideStep | None, master: int) -> None:
    """The master goes to the engine's socket with the name ``/dev/ptmx``, or to a foreground parent."""
    if socket is None:
        scene.channel.send(TERMINAL, fd=master)
        return
    link = _socket.socket(fileno=socket.fd)
    link.sendmsg([b"/dev/ptmx"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, master.to_bytes(4, "little"))])
    link.close()


def check(process: dict[str, Any], pointer: str, detached: bool, console_socket: str) -> None:
    """A terminal needs somebody who holds its master; a console socket needs a terminal (runc's rules)."""
    terminal = bool(process.get("terminal"))
    if terminal and detached and not console_socket:
        raise Failure(
            "allocate a terminal: process.terminal is true and nobody would hold it",
            where=f"{pointer}/terminal",
            hint="pass --console-socket, or run in the foreground",
        )
    if console_socket and not (terminal and detached):
        raise Failure(
            "--console-socket is given but no detached terminal is wanted",
            where=f"{pointer}/terminal",
            hint="set process.terminal to true",
        )
