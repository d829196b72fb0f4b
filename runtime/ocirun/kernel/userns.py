"""User namespaces: the text of their maps, and a namespace made only to be pointed at."""

from __future__ import annotations

import os

from ocirun.kernel import files, process, raw, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    Mapping = list[dict[str, int]]


def lines(mappings: Mapping) -> bytes:
    """The text of a uid_map: ``container host size`` lines."""
    return b"".join(b"%d %d %d\n" % (each["containerID"], each["hostID"], each["size"]) for each in mappings)


def mapped_namespace(uids: Mapping, gids: Mapping) -> int:
    """A descriptor of a user namespace with these maps, for MOUNT_ATTR_IDMAP (mount_setattr(2)).

    A child makes the namespace and waits for end-of-file; the descriptor keeps the namespace when the child has gone.
    """
    reader, writer = os.pipe()
    pid, pidfd = raw.clone3(process.CLONE_NEWUSER, signals.SIGCHLD)
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    raw.checked("clone3", pid, "a user namespace for an id-mapped mount")
    proc = files.open_proc()
    try:
        files.write_proc(proc, b"%d/uid_map" % pid, lines(uids))
        files.write_proc(proc, b"%d/gid_map" % pid, lines(gids))
        return os.open(f"{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    finally:
        os.close(proc)
        os.close(writer)
        os.close(pidfd)
        os.waitpid(pid, 0)
