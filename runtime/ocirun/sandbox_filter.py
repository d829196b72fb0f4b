"""The filter that `do` gives a sandbox: a list of what is refused, since anything may be run in it. Cold.

What is refused is of no use without capabilities, or reaches what namespaces do not separate: the kernel's own code and
keys, other processes, mounts, new namespaces (in which a program has capabilities again), the caller's terminal. Calls
newer than the newest of the list do not exist.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_REFUSED: Final = (
    # mounts and roots
    "mount", "umount", "umount2", "mount_setattr", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig",
    "fsmount", "fspick", "pivot_root", "chroot", "swapon", "swapoff", "quotactl", "quotactl_fd", "fanotify_init",
    "name_to_handle_at", "open_by_handle_at",
    # the kernel itself
    "init_module", "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms",
    "kexec_load", "kexec_file_load", "reboot", "bpf", "perf_event_open", "syslog", "acct", "lookup_dcookie",
    "nfsservctl", "iopl", "ioperm", "_sysctl", "sysfs", "uselib", "ustat", "vm86", "vm86old", "modify_ldt",
    # clocks and names, which are the host's or the runtime's to set
    "settimeofday", "stime", "adjtimex", "clock_settime", "clock_settime64", "clock_adjtime", "clock_adjtime64",
    "sethostname", "setdomainname",
    # keys, which have no namespace
    "add_key", "request_key", "keyctl",
    # other processes, and faults that a program answers itself
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd", "kcmp",
    "move_pages", "migrate_pages", "userfaultfd",
    # new namespaces
    "unshare", "setns",
)  # fmt: skip
_ABSENT: Final = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")
"""These answer ENOSYS: who calls them has another way. The flags of clone3(2) are in memory, where no filter looks."""

_NAMESPACES: Final = 0x7E020080
"""CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME (sched.h)."""
_NAMESPACE_FLAGS: Final = tuple(1 << bit for bit in range(32) if _NAMESPACES >> bit & 1)
_TIOCSTI: Final = 0x5412
_TIOCLINUX: Final = 0x541C
_WORD: Final = (1 << 32) - 1
_AF_VSOCK: Final = 40


def _when(index: int, mask: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}


def _refuse(names: list[str], number: int, *conditions: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": number}
    return {**rule, "args": list(conditions)} if conditions else rule


def profile() -> dict[str, Any]:
    """linux.seccomp. Programs of another architecture than the kernel's are killed by it."""
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            _refuse(list(_REFUSED), errno.EPERM),
            _refuse(list(_ABSENT), errno.ENOSYS),
            *(_refuse(["clone"], errno.EPERM, _when(0, flag, flag)) for flag in _NAMESPACE_FLAGS),
            *(_refuse(["ioctl"], errno.EPERM, _when(1, _WORD, number)) for number in (_TIOCSTI, _TIOCLINUX)),
            _refuse(["socket"], errno.EPERM, _when(0, _WORD, _AF_VSOCK)),
        ],
    }
