"""What a seccomp profile comes to, as lines: one for each rule of each system call, by name; see `seccomp.compile`.

What the kernel or libseccomp adds by itself is spelled out or left out, so that saying it makes no difference: the
native architecture, the number of an action without one, rules that say what the default says.
"""

from __future__ import annotations

import os

from ocirun.linux import seccomp
from ocirun.linux.seccomp.names import WITH_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_NATIVE: Final = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64", "riscv64": "SCMP_ARCH_RISCV64"}
_EPERM: Final = 1
_SAME: Final = {"SCMP_ACT_KILL_THREAD": "SCMP_ACT_KILL"}


def rules(profile: dict[str, Any], flags: int) -> list[str]:
    """The profile's lines; `flags` are those of seccomp(2)."""
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    native = _NATIVE.get(os.uname().machine, "")
    lines = [f"default {default}"]
    lines += sorted({f"architecture {name}" for name in profile.get("architectures") or () if name != native})
    lines += [name for name, bits in seccomp.FLAGS.items() if flags & bits]
    by_name: dict[str, dict[str, None]] = {}
    for rule in profile.get("syscalls") or ():
        action = _action(rule["action"], rule.get("errnoRet"))
        if action == default:
            continue
        conditions = " and ".join(sorted(_condition(each) for each in rule.get("args") or ()))
        line = f"{action} if {conditions}" if conditions else action
        for name in rule["names"]:
            by_name.setdefault(name, {})[line] = None
    return [*lines, *(f"{name} {line}" for name in sorted(by_name) for line in by_name[name])]


def _action(name: str, number: int | None) -> str:
    name = _SAME.get(name, name)
    return f"{name}({_EPERM if number is None else number})" if name in WITH_NUMBER else name


def _condition(argument: dict[str, Any]) -> str:
    second = f" {argument.get('valueTwo', 0):#x}" if argument["op"] == "SCMP_CMP_MASKED_EQ" else ""
    return f"argument {argument['index']} {argument['op']} {argument['value']:#x}{second}"
