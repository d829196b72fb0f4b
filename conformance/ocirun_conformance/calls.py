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


def rule(action: str, *names: str, **members: Any) -> Profile:
    """An entry of `syscalls`."""
    return {"names": list(names), "action": action, **members}


def allowing(*rules: Profile, **members: Any) -> Profile:
    """A profile that lets pass what no rule is about."""
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **members}
