"""One `criu swrk`: a child that does what one request says, tells of its moments, and writes a log.

It waits at a gate until the parent lets it in, so that it can be moved into cgroups before it acts. What it prints
before it has its log goes to a file in memory.

SECURITY: with `root` it works in a mount namespace of its own, in which the container's root is made a mount, as CRIU
needs it. Nothing of that is to be seen on the host, and nothing stays when either process is killed. CRIU mounts in its
work directory too, which it reaches by the runtime's descriptor: so that has to be opened in this namespace.
"""

from __future__ import annotations

import _socket
import os

from ocirun.criu import messages
from ocirun.errors import Failure, failure, words
from ocirun.kernel import mount, signals
from ocirun.kernel import process as kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    Listener = Callable[[int, int], None]

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LARGEST: Final = 1 << 16
_QUOTED_LINES: Final = 4
_SAYS_NOTHING: Final = ("Restoring FAILED", "Dumping FAILED", "Can't send response")
_LOG_TAIL: Final = 1 << 18
_FAILED: Final = 127
_FD_SIZE: Final = 4


def find() -> str:
    """The path of CRIU; an engine may leave PATH empty."""
    for folder in f"{os.environ.get('PATH', '')}:{_PATH}".split(":"):
        path = f"{folder}/criu"
        if folder.startswith("/") and os.access(path, os.X_OK):
            return path
    raise Failure("the program criu is not installed: it does the work of checkpoint and restore")


class Service:
    """A CRIU process that has been started and waits at its gate.

    passed:  descriptors that it inherits under the same numbers.
    root:    make this directory a mount, for a restore.
    folders: paths of directories that it works in; `folders` are their descriptors then.
    """

    __slots__ = ("_gate", "_link", "_printed", "folders", "pid")

    def __init__(self, folders: Sequence[str], passed: Sequence[int] = (), root: str = "") -> None:
        program = find()
        self.pid = 0
        self.folders: list[int] = []
        if root:
            with _Apart(root):
                self._start(program, folders, passed)
        else:
            self._start(program, folders, passed)

    def _start(self, program: str, folders: Sequence[str], passed: Sequence[int]) -> None:
        self.folders = [os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for path in folders]
        self._link, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        self._printed = os.memfd_create("criu", os.MFD_CLOEXEC)
        entrance, self._gate = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._gate)
            _become(program, theirs.fileno(), self._printed, entrance, passed)
        os.close(entrance)
        theirs.close()

    def call(self, kind: int, options: dict[str, Any], listeners: dict[str, Listener]) -> messages.Answer:
        """Open the gate, ask, answer the notifications; a listener gets the pid and the descriptor, or -1.

        What a listener raises makes CRIU take everything back, and is raised here then.
        """
        os.write(self._gate, b"1")
        trouble: BaseException | None = None
        try:
            self._link.send(messages.request(kind, options))
            while True:
                answer, fd = self._receive()
                if answer.type != messages.NOTIFY:
                    break
                try:
                    if trouble is None and answer.script in listeners:
                        listeners[answer.script](answer.pid, fd)
                except (Failure, OSError) as problem:
                    trouble = problem
                finally:
                    if fd >= 0:
                        os.close(fd)
                self._link.send(messages.notified(trouble is None))
        except (OSError, messages.Malformed):
            answer = messages.Answer(b"")  # it has ended: its log says why
        if trouble is not None:
            raise trouble
        return answer

    def _receive(self) -> tuple[messages.Answer, int]:
        data, ancillary, _flags, _address = self._link.recvmsg(
            _LARGEST, _socket.CMSG_SPACE(_FD_SIZE), _socket.MSG_CMSG_CLOEXEC
        )
        if not data:
            raise OSError
        fd = -1
        for _level, _type, content in ancillary:
            fd = int.from_bytes(content[:_FD_SIZE], "little")
        return messages.Answer(data), fd

    def printed(self) -> str:
        """What it wrote to stdout and stderr, printable."""
        size = os.fstat(self._printed).st_size
        return printable(os.pread(self._printed, _LOG_TAIL, max(0, size - _LOG_TAIL)))

    def end(self) -> None:
        """Close the connection, which ends it, and reap it. Twice is allowed."""
        if self.pid:
            self._link.close()
            os.close(self._gate)
            os.close(self._printed)
            os.waitpid(self.pid, 0)
            self.pid = 0
            for fd in self.folders:
                os.close(fd)


def _become(program: str, link: int, printed: int, entrance: int, passed: Sequence[int]) -> None:
    """The child: wait at the gate, arrange the descriptors, execute; never returns."""
    try:
        signals.reset()
        if not os.read(entrance, 1):
            os._exit(_FAILED)
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        for number, fd in enumerate((null, printed, printed)):
            os.dup2(fd, number)
        for fd in (link, *passed):
            os.set_inheritable(fd, True)
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:{_PATH}" if os.environ.get("PATH") else _PATH}
        os.execve(program, [program, "swrk", str(link)], environment)
    except OSError as problem:
        os.write(printed, f"start {program}: {words(problem.errno or 0)}".encode())
    finally:
        os._exit(_FAILED)


class _Apart:
    """The runtime in a mount namespace of its own, and back: a copy of the root's mount, with all below it, on itself.

    setns(2) changes the working directory too.
    """

    __slots__ = ("_cwd", "_own", "_root")

    def __init__(self, root: str) -> None:
        self._root = root

    def __enter__(self) -> None:
        self._own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._cwd = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            kernel.unshare(kernel.CLONE_NEWNS)
            self._make_mount()
        except BaseException:
            self.__exit__()
            raise

    def _make_mount(self) -> None:
        top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        mount.mount_setattr(top, mount.AT_RECURSIVE, 0, propagation=mount.MS_SLAVE)
        place = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        copied = mount.copy(place, True)
        mount.move_mount(copied, place)
        for fd in (top, place, copied):
            os.close(fd)

    def __exit__(self, *_: object) -> None:
        kernel.setns(self._own, kernel.CLONE_NEWNS)
        os.fchdir(self._cwd)
        os.close(self._own)
        os.close(self._cwd)


def printable(text: bytes) -> str:
    """A part of a sentence: the container's processes may have chosen what is in it."""
    lines = text.decode("utf-8", "replace").splitlines()
    return "\n".join("".join(each if each.isprintable() else "?" for each in line) for line in lines)


def told(doing: str, folder: int, path: str, name: str, printed: str) -> Failure:
    """The failure of a request, with the lines of CRIU's log that say why. `folder` is its work directory's descriptor.

    The log is quoted from its last errors, or else what CRIU has printed.
    """
    log = f"{path}/{name}"
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            text = os.pread(fd, _LOG_TAIL, max(0, os.fstat(fd).st_size - _LOG_TAIL))
        finally:
            os.close(fd)
    except FileNotFoundError:
        text, log = b"", ""
    except OSError as problem:
        return failure(f"{doing} with CRIU: read its log", problem, where=log)
    errors = [line.partition("Error ")[2] for line in printable(text).splitlines() if "Error (" in line]
    errors = [line for line in errors if not any(each in line for each in _SAYS_NOTHING)]
    errors = errors or [line.strip() for line in printed.splitlines() if line.strip()]
    quoted = "; ".join(dict.fromkeys(errors[-_QUOTED_LINES:])).rstrip(".")
    return Failure(f"{doing} with CRIU{f' (log: {log})' if log else ''}: {quoted or 'it does not say why'}")
