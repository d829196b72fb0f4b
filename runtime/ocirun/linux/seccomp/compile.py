"""From a profile to a BPF program, with libseccomp. Cold: runs in a child, or in tests.

What the field does, and engines rely on:

* The native architecture is always in the filter; the others are those that the profile names, no more. A system call
  of an architecture that is not in the filter is answered with libseccomp's own choice, SCMP_ACT_KILL.
* A system call that the installed libseccomp does not know by name is left out, and a rule that says what the default
  action says anyway too.
* The conditions of a rule are joined by AND. libseccomp takes one condition for an argument: a rule with two on the
  same one is taken apart into a rule for each of its conditions, joined by OR, as runc does since its first releases
  and as profiles expect it.
* Above the highest system call that the profile names the answer is ENOSYS (see `enosys`), unless the default action
  lets such a call pass or is ENOSYS itself.
* Many rules are laid out as a binary tree, where libseccomp can (2.5).
"""

from __future__ import annotations

import errno
import os
from typing import Any, Final

from ocirun import log
from ocirun.errors import Failure
from ocirun.linux.seccomp import enosys
from ocirun.linux.seccomp.names import (
    ACTIONS,
    ARCHITECTURES,
    OPERATORS,
    PERMISSIVE,
    SCMP_ACT_KILL,
    WITH_NUMBER,
)

_BPF_MAXINSNS: Final = 4096
_SIZE_OF_FILTER: Final = 8
_ARGUMENTS: Final = 6
_TREE: Final = 2
_TREE_FROM: Final = 32
"""From more than so many system calls on, as in runc: libseccomp 2.5 lays out an empty tree wrongly."""


def load_library() -> Any:
    """Import pyseccomp without its search for the two libraries.

    SECURITY: the search runs ldconfig, gcc or ld from PATH, with the runtime's privileges. The loader finds libseccomp
    by its soname, and the C library is the one that is loaded already, which None stands for.
    """
    import ctypes.util

    search = ctypes.util.find_library
    ctypes.util.find_library = _soname
    try:
        import pyseccomp
    finally:
        ctypes.util.find_library = search
    return pyseccomp


def _soname(name: str) -> str | None:
    return "libseccomp.so.2" if name == "seccomp" else None


class _Compiler:
    """One profile on its way into one libseccomp filter."""

    def __init__(self, profile: dict[str, Any], pointer: str) -> None:
        self.library = load_library()
        self.profile = profile
        self.pointer = pointer
        self.rules: list[dict[str, Any]] = profile.get("syscalls") or []
        self.default = action(profile["defaultAction"], profile.get("defaultErrnoRet"), pointer, "default")
        self.native: int = self.library.system_arch()
        self.architectures = [self.native]
        self.filter = self.library.SyscallFilter(self.default)

    def compile(self) -> bytes:
        self.filter.set_attr(self.library.Attr.ACT_BADARCH, SCMP_ACT_KILL)
        for index, name in enumerate(self.profile.get("architectures") or ()):
            self.add_architecture(name, f"{self.pointer}/architectures/{index}")
        if sum(len(rule["names"]) for rule in self.rules) > _TREE_FROM:
            self.ask_for_tree()
        for index, rule in enumerate(self.rules):
            self.add_rules(rule, f"{self.pointer}/syscalls/{index}")
        return self.newer() + self.exported()

    def add_architecture(self, name: str, pointer: str) -> None:
        if name not in ARCHITECTURES:
            raise Failure(f"unknown seccomp architecture {name}", where=pointer)
        value = ARCHITECTURES[name]
        if value in self.architectures:
            return
        try:
            self.filter.add_arch(value)
        except OSError as problem:
            raise _refused(f"add the seccomp architecture {name}", "seccomp_arch_add", problem, pointer) from None
        self.architectures.append(value)

    def ask_for_tree(self) -> None:
        try:
            self.filter.set_attr(self.library.Attr.CTL_OPTIMIZE, _TREE)
        except OSError:
            log.debug("the installed libseccomp does not lay out binary trees")

    def add_rules(self, rule: dict[str, Any], pointer: str) -> None:
        """One entry of `syscalls`: a rule for each name, or for each name and condition."""
        value = action(rule["action"], rule.get("errnoRet"), pointer)
        conditions = [
            self.condition(argument, f"{pointer}/args/{index}") for index, argument in enumerate(rule.get("args") or ())
        ]
        if value == self.default:
            return
        alternatives = [[condition] for condition in conditions] if _same_argument_twice(rule) else [conditions]
        for index, name in enumerate(rule["names"]):
            number = self.number(self.native, name)
            if number is None:
                log.debug(f"{pointer}/names/{index}: libseccomp does not know the system call {name}: left out")
                continue
            for alternative in alternatives:
                self.add_rule(value, number, alternative, f"{pointer}/names/{index}", name)

    def add_rule(self, value: int, number: int, conditions: list[Any], pointer: str, name: str) -> None:
        try:
            self.filter.add_rule(value, number, *conditions)
        except OSError as problem:
            raise _refused(f"add the seccomp rule for {name}", "seccomp_rule_add_array", problem, pointer) from None

    def condition(self, argument: dict[str, Any], pointer: str) -> Any:
        """struct scmp_arg_cmp."""
        operator = OPERATORS.get(argument["op"])
        if operator is None:
            raise Failure(f"unknown seccomp operator {argument['op']}", where=pointer + "/op")
        if not 0 <= argument["index"] < _ARGUMENTS:
            raise Failure(f"a system call has {_ARGUMENTS} arguments, counted from 0", where=pointer + "/index")
        return self.library.Arg(argument["index"], operator, argument["value"], argument.get("valueTwo", 0))

    def number(self, arch: int, name: str) -> int | None:
        """A system call's number; negative, by libseccomp's own count, for one that only other architectures have."""
        number: int = self.library.resolve_syscall(arch, name)
        return None if number == -1 else number

    def newer(self) -> bytes:
        """What stands before libseccomp's program."""
        if self.profile["defaultAction"] in PERMISSIVE or self.default == enosys.RET_ENOSYS:
            return b""
        names = {name for rule in self.rules for name in rule["names"]}
        highest = []
        for arch in self.architectures:
            known = [number for name in names if (number := self.number(arch, name)) is not None and number >= 0]
            if known:
                highest.append((arch, max(known)))
        return enosys.prefix(highest)

    def exported(self) -> bytes:
        """libseccomp's program, by way of a file in memory, since it writes to nothing but files."""
        fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        with os.fdopen(fd, "r+b") as file:
            try:
                self.filter.export_bpf(file)
            except OSError as problem:
                raise _refused("compile the seccomp profile", "seccomp_export_bpf", problem, self.pointer) from None
            file.seek(0)
            return file.read()


def compile_profile(profile: dict[str, Any], pointer: str) -> bytes:
    """The program of a profile that stands at `pointer`, as an array of struct sock_filter; refusals are `Failure`s."""
    program = _Compiler(profile, pointer).compile()
    if len(program) > _BPF_MAXINSNS * _SIZE_OF_FILTER:
        count = len(program) // _SIZE_OF_FILTER
        text = f"the seccomp profile compiles to {count} instructions, and the kernel takes {_BPF_MAXINSNS}"
        raise Failure(text, where=pointer)
    return program


def action(name: str, number: int | None, pointer: str, prefix: str = "") -> int:
    """SCMP_ACT_* with its number; EPERM where the action takes a number and none is given.

    config-linux.md wants an error for a number with an action that takes none. `prefix` is ``default`` for the members
    `defaultAction` and `defaultErrnoRet`.
    """
    member, number_member = ("defaultAction", "defaultErrnoRet") if prefix else ("action", "errnoRet")
    if name not in ACTIONS:
        raise Failure(f"unknown seccomp action {name}", where=f"{pointer}/{member}")
    if name not in WITH_NUMBER:
        if number is not None:
            raise Failure(f"{name} does not take a number", where=f"{pointer}/{number_member}")
        return ACTIONS[name]
    number = errno.EPERM if number is None else number
    if not 0 <= number <= 0xFFFF:
        raise Failure(f"{name} takes a number of 16 bits, not {number}", where=f"{pointer}/{number_member}")
    return ACTIONS[name] | number


def _same_argument_twice(rule: dict[str, Any]) -> bool:
    indices = [argument["index"] for argument in rule.get("args") or ()]
    return len(indices) != len(set(indices))


def _refused(doing: str, call: str, problem: OSError, pointer: str) -> Failure:
    return Failure(doing, where=pointer, call=call, errno=problem.errno or 0)
