"""What the container's first process holds while it sets itself up: opened before anything hostile was near.

Every descriptor is close-on-exec; the program never sees one of them.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.sync import Channel


class Scene:
    """The container side's view.

    channel:  to the parent (to `start`, after READY of a `create`).
    proc:     O_PATH descriptor of the host's procfs.
    root:     the container's root: a detached mount, then the attached one; O_PATH.
    cwd:      O_PATH descriptor of process.cwd, -1 until found.
    console:  socket on which the pty's master goes to the engine, -1 to send it to the parent.
    waiting:  the listening socket of a `create`, -1 for `run` and `exec`.
    state:    the container's state as hooks get it, without the pid.
    logs:     where the annotations want what hooks print on stdout and stderr, -1 for nowhere.
    top:      O_PATH descriptor of the host's ``/``, over which the root still has to move, else -1.
    shared:   a mounted empty directory whose clones mask directories, -1 until first needed.
    attached: mounts that may have to be taken away again, None where the whole mount namespace goes then.
    """

    __slots__ = ("attached", "channel", "console", "cwd", "logs", "proc", "root", "shared", "state", "top", "waiting")

    def __init__(self, channel: Channel, proc: int) -> None:
        self.channel = channel
        self.proc = proc
        self.root = -1
        self.cwd = -1
        self.console = -1
        self.waiting = -1
        self.shared = -1
        self.top = -1
        self.state = b""
        self.logs = (-1, -1)
        self.attached: list[int] | None = None

    def attach(self, fd: int) -> None:
        """Before a mount is attached: what comes after that may fail."""
        if self.attached is not None:
            self.attached.append(fd)

    def leave(self, fd: int) -> None:
        """Close the descriptor of a mount that stands, unless it may have to be taken away again."""
        if self.attached is None:
            os.close(fd)
