"""The process family: prctl(2), setns(2), capset(2), pidfds, credentials, limits, sched and keyring calls.

Constants are those of linux/prctl.h, linux/sched.h, linux/capability.h and linux/keyctl.h. The set*id calls are raw,
since the C library's versions signal other threads and there are none here.
"""

from __future__ import annotations

import os

from ocirun.kernel import raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CLONE_NEWTIME: Final = 0x00000080
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
CLONE_PARENT: Final = 0x00008000
NS_GET_NSTYPE: Final = 0xB703
NS_GET_USERNS: Final = 0xB701
PIDFD_GET_INFO: Final = 0xC040FF0B
PIDFD_INFO_EXIT: Final = 1 << 3

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_KEEPCAPS: Final = 8
PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_LINUX_CAPABILITY_VERSION_3: Final = 0x20080522
KEYCTL_JOIN_SESSION_KEYRING: Final = 1
KEYCTL_SETPERM: Final = 5
KEYCTL_DESCRIBE: Final = 6
CLOSE_RANGE_CLOEXEC: Final = 4
UINT_MAX: Final = 0xFFFFFFFF


def prctl(option: int, *args: int, name: str = "") -> int:
    """prctl(2); `name` is the option's name for the error."""
    padded = (*args, 0, 0, 0, 0)[:4]
    return raw.call("prctl", raw.PRCTL, option, *padded, detail=name)


def setns(fd: int, flags: int) -> None:
    """setns(2) on a namespace descriptor, or on a pidfd with several CLONE_NEW* flags."""
    raw.call("setns", raw.SETNS, fd, flags)


def unshare(flags: int) -> None:
    """unshare(2)."""
    raw.call("unshare", raw.UNSHARE, flags)


def pidfd_open(pid: int) -> int:
    """pidfd_open(2); close-on-exec by nature."""
    return raw.call("pidfd_open", raw.PIDFD_OPEN, pid, 0, detail=str(pid))


def pidfd_send_signal(pidfd: int, number: int) -> None:
    """pidfd_send_signal(2)."""
    raw.call("pidfd_send_signal", raw.PIDFD_SEND_SIGNAL, pidfd, number, None, 0)


def close_on_exec_from(first: int) -> None:
    """Mark every descriptor >= `first` close-on-exec (close_range(2), since Linux 5.11)."""
    raw.call("close_range", raw.CLOSE_RANGE, first, UINT_MAX, CLOSE_RANGE_CLOEXEC)


def close_range(first: int, last: int) -> None:
    """Close the descriptors from `first` to `last` (close_range(2))."""
    raw.call("close_range", raw.CLOSE_RANGE, first, last, 0)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) on oneself; the three sets are bit masks by capability number."""
    header = _LINUX_CAPABILITY_VERSION_3.to_bytes(4, "little") + bytes(4)
    words = []
    for shift in (0, 32):
        words += [(mask >> shift & UINT_MAX).to_bytes(4, "little") for mask in (effective, permitted, inheritable)]
    raw.call("capset", raw.CAPSET, header, b"".join(words))


def capget() -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of oneself, as bit masks."""
    header = bytearray(_LINUX_CAPABILITY_VERSION_3.to_bytes(4, "little") + bytes(4))
    data = bytearray(24)
    raw.call("capget", raw.CAPGET, header, data)
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, 24, 4)]
    return words[0] | words[3] << 32, words[1] | words[4] << 32, words[2] | words[5] << 32


def setgroups(groups: bytes, count: int) -> None:
    """setgroups(2); `groups` is an array of native u32."""
    raw.call("setgroups", raw.SETGROUPS, count, groups)


def setresuid(uid: int) -> None:
    """Real, effective and saved user id."""
    raw.call("setresuid", raw.SETRESUID, uid, uid, uid, detail=str(uid))


def setresgid(gid: int) -> None:
    """Real, effective and saved group id."""
    raw.call("setresgid", raw.SETRESGID, gid, gid, gid, detail=str(gid))


def prlimit(pid: int, resource: int, soft: int, hard: int) -> None:
    """Set a resource limit (struct rlimit64)."""
    both = soft.to_bytes(8, "little") + hard.to_bytes(8, "little")
    raw.call("prlimit64", raw.PRLIMIT64, pid, resource, both, None)


def sethostname(name: bytes) -> None:
    """sethostname(2)."""
    raw.call("sethostname", raw.SETHOSTNAME, name, len(name))


def setdomainname(name: bytes) -> None:
    """setdomainname(2)."""
    raw.call("setdomainname", raw.SETDOMAINNAME, name, len(name))


def namespace_type(fd: int) -> int:
    """The CLONE_NEW* flag of a namespace descriptor (ioctl NS_GET_NSTYPE)."""
    return raw.call("ioctl", raw.IOCTL, fd, NS_GET_NSTYPE, 0, detail="NS_GET_NSTYPE")


def exit_status(pidfd: int, pid: int, began: int) -> int | None:
    """How a process has ended, as a status of waitpid(2); None when nobody knows any more.

    pidfd, pid, began: a descriptor that has become readable, and the number and start time of its process.
    Until its parent has asked, /proc/PID/stat has it (field 52, proc(5)), which tells others than root 0. Afterwards it
    is in the pidfd (linux/pidfd.h, PIDFD_INFO_EXIT, since Linux 6.15).
    """
    fields = _stat(pid)
    if os.geteuid() == 0 and fields and fields[0] == b"Z" and int(fields[19]) == began:
        return int(fields[49])
    info = bytearray(PIDFD_INFO_EXIT.to_bytes(8, "little") + bytes(56))
    try:
        raw.call("ioctl", raw.IOCTL, pidfd, PIDFD_GET_INFO, info, detail="PIDFD_GET_INFO")
    except raw.KernelError:
        return None
    known = int.from_bytes(info[:8], "little") & PIDFD_INFO_EXIT
    return int.from_bytes(info[60:], "little") if known else None


def start_time(pid: int) -> int:
    """Start time of a process in clock ticks since boot: field 22 of /proc/PID/stat (proc(5)); 0 when it is gone.

    A zombie counts as gone: its program has exited, only its parent has not looked yet.
    """
    fields = _stat(pid)
    return 0 if not fields or fields[0] in (b"Z", b"X") else int(fields[19])


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the third on; empty when there is no such process."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return []
    try:
        text = os.read(fd, 2048)
    except ProcessLookupError:
        return []
    finally:
        os.close(fd)
    return text[text.rindex(b")") + 2 :].split()
