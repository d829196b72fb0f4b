"""The state directory: one folder a container, a small record in it, and the lock that serialises commands.

    <root>/<id>/state.json    the record: all that start, state, kill and delete need; replaced by rename(2)
    <root>/<id>/config.json   the configuration as it was at create, with the limits of `update`; the bundle's later
                              edits do not count
    <root>/<id>/start         the socket on which a created container waits for `start`
    <root>/<id>/device-0  …   nodes of linux.devices that are bound, where the container cannot make them
    <root>/<id>/notify/       the container's /run/notify, when a supervisor waits for it (see `readiness`)
    <root>/@cache/            compiled seccomp programs; ``@`` cannot occur in an id

The folder itself is the lock (flock(2)) and the claim on the id (mkdir(2) is atomic). Readers take no lock: they see
the record of before or after. A record names every host resource *before* it is made, so that `delete --force` can
undo what a killed `create` has begun. Mode 0700 throughout: only the owner reads state or may connect to `start`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time

from ocirun import SPEC_VERSION, recorded
from ocirun.errors import Failure, failure
from ocirun.kernel import process
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Record = dict[str, Any]

CREATING: Final = "creating"
CREATED: Final = "created"
RUNNING: Final = "running"
PAUSED: Final = "paused"
STOPPED: Final = "stopped"

_ID_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-")
_ID_MAXIMUM: Final = 1024
_FILES: Final = ("notify/notify.sock", "start", "config.json", "config.json.new", "state.json.new", "state.json")
_LOCK_SECONDS: Final = 10.0
_CLAIMS: Final = 100


def check_id(ident: str) -> None:
    """Refuse an id that is not ``[A-Za-z0-9_+.-]+`` or is ``.`` or ``..`` (runc's rule)."""
    if not ident or len(ident) > _ID_MAXIMUM or ident in (".", "..") or not _ID_CHARACTERS.issuperset(ident):
        raise Failure(f"invalid container id {ident!r}", hint="letters, digits and _ + . - are allowed")


def default_root() -> str:
    """Where containers are recorded when --root is absent: /run/ocirun, or below XDG_RUNTIME_DIR for a plain user.

    A plain user is also who looks like root in a user namespace, as Podman's runtime does: unless USER says root, as it
    does in a container that has its own /run (runc's rule).
    """
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR", "")
    if not runtime_dir:
        return "/run/ocirun"
    if os.geteuid() == 0:
        from ocirun import facts

        if os.environ.get("USER") == "root" or facts.Facts().initial_userns:
            return "/run/ocirun"
    return f"{runtime_dir}/ocirun"


class Entry:
    """One container's folder, by descriptor. Close it (or leave it to the end of the process)."""

    __slots__ = ("fd", "ident", "path", "record")

    def __init__(self, ident: str, path: str, fd: int) -> None:
        self.ident = ident
        self.path = path
        self.fd = fd
        self.record: Record = {}

    def save(self) -> None:
        """Replace the record atomically."""
        self.write("state.json", jsontext.dumps(self.record).encode("utf-8", "surrogateescape"))

    def write(self, name: str, data: bytes) -> None:
        """Put a whole file into the folder by rename(2), so that no reader sees half of it."""
        doing = f"write {self.path}/{name}"
        try:
            fd = os.open(name + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
            try:
                os.fchmod(fd, 0o600)  # whatever the umask
                if os.write(fd, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(fd)
            os.rename(name + ".new", name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError as problem:
            raise failure(doing, problem) from None

    def read(self, name: str) -> bytes:
        """A whole file of the folder; FileNotFoundError when it is absent."""
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            parts = []
            while part := os.read(fd, 1 << 16):
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(fd)

    def load(self) -> bool:
        """Read the record; False when there is none: its `create` has only just begun, or was killed then."""
        try:
            text = self.read("state.json").decode("utf-8", "surrogateescape")
            record = jsontext.loads(text)
        except FileNotFoundError:
            return False
        except OSError as problem:
            # No damage: the record may be whole, and a container whose record counts for nothing would be forgotten.
            raise Failure("read the state", where=f"{self.path}/state.json", errno=problem.errno or 0) from None
        except jsontext.JSONError as problem:
            raise Damaged(self, f"the state cannot be read: {problem}") from None
        if not isinstance(record, dict) or record.get("id") != self.ident or not isinstance(record.get("phase"), str):
            raise Damaged(self, "the state is not this container's")
        self.record, wrong = recorded.completed(record)
        if wrong:
            raise Damaged(self, f"the state's member {wrong} is not what it has to be")
        return True

    def recorded(self) -> bool:
        """Whether there is a record; needs no descriptor."""
        return os.access("state.json", os.F_OK, dir_fd=self.fd)

    def lock(self) -> None:
        """Wait for the exclusive lock, at most 10 s; refuse when the folder was removed meanwhile."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Failure("another command holds the container's lock") from None
                select.select([], [], [], 0.005)
        if self.removed():
            raise UnknownContainer(self.path)

    def unlock(self) -> None:
        """Let other commands have it."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def removed(self) -> bool:
        """Whether another command has deleted the container meanwhile."""
        return os.fstat(self.fd).st_nlink == 0

    def remove(self) -> None:
        """Delete the folder and what is in it; the id is free afterwards.

        By name, since after a failure there may be no descriptor left to list a folder with.
        """
        for name in _FILES:
            self._unlinked(name)
        number = 0
        while self._unlinked(self.device(number)):
            number += 1
        try:
            os.rmdir("notify", dir_fd=self.fd)
        except FileNotFoundError:
            pass
        os.rmdir(self.path)

    def device(self, number: int) -> str:
        """The name of a device's node; they are numbered from 0 without a gap."""
        return f"device-{number}"

    def _unlinked(self, name: str) -> bool:
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            return False
        return True

    def socket_address(self) -> str:
        """The start socket by descriptor: a path below --root may be longer than sun_path's 108 bytes."""
        return f"/proc/self/fd/{self.fd}/start"

    def status(self) -> str:
        """The container's status now, from the record, the process, the start socket and the freezer."""
        found = self.life()
        return PAUSED if found == RUNNING and self._frozen() else found

    def life(self) -> str:
        """`status`, but `running` for a paused container too: the freezer costs imports, and `kill` need not know."""
        if self.record["phase"] == CREATING and not self._being_made():
            self.load()  # its maker may have finished since the record was read
        if self.record["phase"] == CREATING:
            return CREATING if self._being_made() else STOPPED
        if not self.alive():
            return STOPPED
        return CREATED if self.record["phase"] == CREATED and self._waits() else RUNNING

    def _being_made(self) -> bool:
        """Whether the `create` that began the record is still at work."""
        creator, began = self.record["creator"]
        return bool(began) and process.start_time(creator) == began

    def alive(self) -> bool:
        """Whether the recorded process is still that process: a reused pid has another start time."""
        pid = self.record.get("pid", 0)
        return bool(pid and self.record["start"]) and process.start_time(pid) == self.record["start"]

    def _waits(self) -> bool:
        """Whether the container still waits for `start`: its socket is closed by the execve(2) of the program."""
        import _socket  # 0.14 ms that most of the commands that read a record do without

        probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        try:
            probe.connect(self.socket_address())
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        finally:
            probe.close()
        return True

    def _frozen(self) -> bool:
        if not self.record.get("cgroup"):
            return False
        from ocirun.linux import cgroup

        return cgroup.is_frozen(self.record["cgroup"])

    def oci(self, status: str) -> Record:
        """The state of runtime.md, as hooks get it on stdin and seccomp listeners in their message."""
        record = self.record
        pid = record.get("pid", 0) if status != STOPPED else 0
        state: Record = {"ociVersion": SPEC_VERSION, "id": self.ident, "pid": pid, "status": status}
        state["bundle"] = record.get("bundle", "")
        if record.get("annotations"):
            state["annotations"] = record["annotations"]
        return state


class UnknownContainer(Failure):
    """No such container: the words that containerd and Podman look for."""

    def __init__(self, path: str) -> None:
        super().__init__("container does not exist", hint=f"looked for {path}")


class Damaged(Failure):
    """A record that cannot be acted on; `entry` has what is whole of it, and stays locked when it was."""

    def __init__(self, entry: Entry, doing: str) -> None:
        super().__init__(doing, where=f"{entry.path}/state.json", hint="delete --force gives the id free")
        self.entry = entry
        self.entry.record = entry.record or recorded.completed({"id": entry.ident})[0]


def claim(root: str, ident: str) -> Entry:
    """Take an id: make its folder and lock it. Refuses an id in use.

    Between the two another command may have removed the folder, and another `create` may have made it again.
    """
    check_id(ident)
    umask = os.umask(0o077)  # the caller's may take our own rights away
    try:
        return _claim(root, ident)
    finally:
        os.umask(umask)


def _claim(root: str, ident: str) -> Entry:
    try:
        os.makedirs(root, 0o700, exist_ok=True)
    except OSError as problem:
        raise failure(f"make the state directory {root}", problem) from None
    path = f"{root}/{ident}"
    for _ in range(_CLAIMS):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if forgotten(root, ident):
                continue
            break
        except OSError as problem:
            raise failure(f"make the state directory {path}", problem) from None
        try:
            entry = Entry(ident, path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            entry.lock()
        except (FileNotFoundError, UnknownContainer):
            continue
        except OSError as problem:
            os.rmdir(path)
            raise failure(f"open the state directory {path}", problem) from None
        if entry.recorded():
            break
        return entry
    raise Failure("container id already in use", hint=f"delete it first, or look at {path}")


def forgotten(root: str, ident: str) -> bool:
    """Remove the folder that a `create` has left which was killed at once; False when the id is in use."""
    entry = None
    try:
        entry = _open(root, ident)
        fcntl.flock(entry.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not entry.removed():
            if entry.recorded():
                return False
            entry.remove()
    except UnknownContainer:
        return True
    except (BlockingIOError, Failure):
        return False
    finally:
        if entry is not None:
            os.close(entry.fd)
    return True


def _open(root: str, ident: str) -> Entry:
    """The container's folder; refuses an unknown one."""
    check_id(ident)
    path = f"{root}/{ident}"
    try:
        return Entry(ident, path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except FileNotFoundError:
        raise UnknownContainer(path) from None
    except OSError as problem:
        raise failure("open the state directory", problem, where=path) from None


def names(root: str) -> list[str]:
    """What may be ids of containers below a state directory, in their order; none where there is no such directory."""
    try:
        return sorted(name for name in os.listdir(root) if _ID_CHARACTERS.issuperset(name))
    except FileNotFoundError:
        return []


def find(root: str, ident: str) -> Entry:
    """The container's folder with its record loaded. A container is there as soon as it has a record."""
    entry = _open(root, ident)
    loaded = False
    try:
        loaded = entry.load()
    finally:
        if not loaded:
            os.close(entry.fd)
    if not loaded:
        raise UnknownContainer(entry.path)
    return entry


def hold(root: str, ident: str) -> Entry:
    """The same with the lock, so that the record stays what it is. A folder without one is removed."""
    entry = _open(root, ident)
    entry.lock()
    if not entry.load():
        entry.remove()
        raise UnknownContainer(entry.path)
    return entry
