"""Profiles of linux.seccomp, and the numbers of the few system calls that cases make."""

from __future__ import annotations

import os
from typing import Any

from .case import NotRun

Profile = dict[str, Any]

_NUMBERS = {"x86_64": {"getegid": 108, "getgid": 104}, "aarch64": {"getegid": 177, "getgid": 176}}
"""<asm/unistd.h>; getegid(2) ignores its arguments, and no runtime needs it once its filter is loaded."""
X86_GETEGID, X86_GETPID = 50, 20


def number(name: str) -> int:
    """A system call's number on this machine."""
    table = _NUMBERS.get(os.uname().machine)
    if table is None:
        raise NotRun(f"the numbers of the system calls of {os.uname().machine} are not known here")
    return table[name]


_USUAL = """
    accept accept4 access arch_prctl bind brk capget capset chdir chmod chown clock_adjtime clock_getres clock_gettime
    clock_nanosleep clone clone3 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
    epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group
    faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync
    fgetxattr flistxattr flock fork fsconfig fsetxattr fsmount fsopen fspick fstat fstatfs fsync ftruncate futex
    futex_wait futex_wake futimesat get_mempolicy get_robust_list getcpu getcwd getdents getdents64 geteuid
    getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid
    getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr ioctl ioprio_get
    ioprio_set kcmp keyctl kill lchown lgetxattr link linkat listen listxattr lseek lstat madvise mbind membarrier
    memfd_create mincore mkdir mkdirat mknod mknodat mlock mmap mount mount_setattr move_mount mprotect mremap
    msync munlock munmap name_to_handle_at nanosleep newfstatat open open_tree openat openat2 pause
    personality pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pivot_root poll ppoll prctl pread64 preadv
    preadv2 prlimit64 process_mrelease process_vm_readv pselect6 ptrace pwrite64 pwritev pwritev2 read readahead
    readlink readlinkat readv recvfrom recvmmsg recvmsg rename renameat renameat2 restart_syscall rmdir rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_setaffinity sched_setattr sched_yield seccomp select sendfile sendmmsg
    sendmsg sendto set_mempolicy set_robust_list set_tid_address setfsgid setfsuid setgid setgroups
    sethostname setdomainname setitimer setns setpgid setpriority setregid setresgid setresuid setreuid setrlimit
    setsid setsockopt setuid shutdown sigaltstack signalfd signalfd4 socket socketpair splice stat statfs statx
    symlink symlinkat sync sysinfo tee tgkill timerfd_create timerfd_settime tkill truncate umask umount2 uname
    unlink unlinkat unshare utimensat vfork wait4 waitid write writev
"""
"""All that a runtime or the probe may call once the filter is loaded; neither of the two above."""


def forbidding(action: str, **members: Any) -> Profile:
    """A profile whose default action meets the two calls above."""
    return {"defaultAction": action, "syscalls": [rule("SCMP_ACT_ALLOW", *_USUAL.split())], **members}


def rule(action: str, *names: str, **members: Any) -> Profile:
    """An entry of `syscalls`."""
    return {"names": list(names), "action": action, **members}


def allowing(*rules: Profile, **members: Any) -> Profile:
    """A profile that lets pass what no rule is about."""
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **members}
