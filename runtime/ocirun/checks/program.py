"""process.args[0] and process.cwd: is there such a program in the image, and will the kernel execute it?

The container is not there yet, so this is the look-up of `linux.program` and of execve(2) once more, on the files of
the image. Where a mount of the config covers the way, nothing is said.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from ocirun.checks import executable
from ocirun.checks.rootfs import CoveredError, File, Root
from ocirun.checks.subject import Finding
from ocirun.errors import words
from ocirun.linux import program
from ocirun_spec.problem import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun.checks.subject import Subject

_POINTER = "/process/args/0"
_FINDS = ("/mounts", "/process/env", "/process/cwd")
_ALLOWS = ("/process/user", "/process/capabilities", "/linux/namespaces", "/linux/uidMappings", "/linux/gidMappings")
"""What the look-up, and what the right to execute depend on: where a part of that is unknown, nothing is said."""
_HEAD = 4096
_DEEPEST = 5
"""Interpreters of interpreters, as the kernel counts them (linux/binfmts.h, exec_binprm)."""
_EACCES, _ENOENT = 13, 2
_CRLF = "its first line ends with CR LF, as on Windows, and the CR belongs to the name: save the file with LF alone"


def check(subject: Subject) -> Iterator[Finding]:
    """The program, then the working directory."""
    if not subject.process.get("args") or not subject.rootfs or any(map(subject.doubts, _FINDS)):
        return
    try:
        root = Root(subject.rootfs, [entry["destination"] for entry in subject.mounts])
    except OSError:
        return  # /root/path has its own check
    with root:
        try:
            yield from _Looker(subject, root).program()
        except CoveredError:
            pass
        yield from _directory(subject, root)


def _directory(subject: Subject, root: Root) -> Iterator[Finding]:
    cwd = subject.process.get("cwd", "/")
    try:
        found = root.look(cwd)
    except (OSError, CoveredError):
        return  # a missing one is made
    if not stat.S_ISDIR(found.status.st_mode):
        yield Finding("/process/cwd", f"the working directory {cwd} is not a directory in the root filesystem")


class _Looker:
    """One search for a program."""

    def __init__(self, subject: Subject, root: Root) -> None:
        self.subject = subject
        self.root = root
        self.name: str = subject.process["args"][0]
        self.cwd: str = subject.process.get("cwd", "/")
        self.places = self._places()

    def _places(self) -> list[str]:
        path = program.environment(self.subject.process, {}).get(b"PATH", program.DEFAULT_PATH)
        return [os.path.join(self.cwd, os.fsdecode(place)) for place in path.split(b":")]

    def program(self) -> Iterator[Finding]:
        if "/" in self.name:
            yield from self._named(os.path.join(self.cwd, self.name))
            return
        refused = None
        for place in self.places:
            try:
                found = self.root.look(f"{place}/{self.name}")
            except OSError:
                continue
            if refused := self._no_access(found):
                continue
            yield from self._content(found, 0)
            return
        if refused:
            yield refused
            return
        candidates = {name for place in self.places for name in self.root.names(place)}
        path = ":".join(self.places)
        if self.name in candidates:
            yield Finding(_POINTER, f"no {self.name} in any directory of PATH", "a link of this name leads to no file")
            return
        hint = did_you_mean(self.name, candidates) or f"add it to the image, or its directory to PATH, which is {path}"
        yield Finding(_POINTER, f"no {self.name} in any directory of PATH", hint)

    def _named(self, path: str) -> Iterator[Finding]:
        try:
            found = self.root.look(path)
        except OSError as problem:
            missing = problem.filename or path
            near = did_you_mean(os.path.basename(missing), self.root.names(os.path.dirname(missing)))
            hint = self._elsewhere(os.path.basename(path)) or near
            yield Finding(_POINTER, f"{missing} in the root filesystem: {words(problem.errno or 0)}", hint)
            return
        if refused := self._no_access(found):
            yield refused
        else:
            yield from self._content(found, 0)

    def _elsewhere(self, name: str) -> str:
        """A program of this name in another directory."""
        for place in self.places:
            if name in self.root.names(place):
                return f"did you mean {os.path.normpath(f'{place}/{name}')}?"
        return ""

    def _no_access(self, file: File) -> Finding | None:
        """Why the program's user may not execute a file, as far as modes say it."""
        if stat.S_ISDIR(file.status.st_mode):
            return Finding(_POINTER, f"{file.path} is a directory", "name a program in it")
        user = _User(self.subject)
        for path, status in file.above:
            if not user.may(status, directory=True) and not self.root.has_list(File(path, status)):
                mode = stat.S_IMODE(status.st_mode)
                hint = f"the user {user.uid} may not search {path}, whose mode is {mode:04o}: chmod +x {path}"
                return Finding(_POINTER, f"{file.path}: {words(_EACCES)}", hint)
        mode = stat.S_IMODE(file.status.st_mode)
        if not user.may(file.status, directory=False) and not self.root.has_list(file):
            hint = f"the user {user.uid} may not execute {file.path}, whose mode is {mode:04o}: chmod +x {file.path}"
            return Finding(_POINTER, f"{file.path} is not executable: {words(_EACCES)}", hint)
        if self.root.mounted_noexec(file):
            hint = "the root filesystem lies on a mount with the option noexec: remount that with exec"
            return Finding(_POINTER, f"{file.path}: {words(_EACCES)}", hint)
        return None

    def _content(self, file: File, depth: int) -> Iterator[Finding]:
        head = self.root.head(file, _HEAD)
        if head is None or executable.emulated(head, file.path):
            return
        if head.startswith(b"#!"):
            yield from self._script(file, head, depth)
        elif head.startswith(b"\x7fELF"):
            yield from self._elf(file, head)
        else:
            hint = "it is neither an ELF file nor a script that begins with #!"
            if not head:
                hint = "the file is empty"
            elif head.startswith(b"\xef\xbb\xbf#!"):
                hint = "a byte order mark stands before its #!: save the file without"
            elif head[:2] == b"MZ":
                hint = "it is a program for Windows"
            yield Finding(_POINTER, f"{file.path}: exec format error", hint)

    def _elf(self, file: File, head: bytes) -> Iterator[Finding]:
        header = executable.elf(head)
        own = os.uname().machine
        if header is None:
            yield Finding(_POINTER, f"{file.path}: exec format error", "the ELF file is damaged or cut off")
        elif not executable.runs_here(header.machine):
            hint = f"it is made for {header.machine}, and this machine is {own}: use an image for {own}"
            yield Finding(_POINTER, f"{file.path}: exec format error", hint)
        elif header.loader:
            offset, size = header.loader
            loader = os.fsdecode((self.root.head(file, size, offset) or b"").split(b"\0")[0])
            yield from self._loader(file, loader)

    def _loader(self, file: File, loader: str) -> Iterator[Finding]:
        try:
            if loader:
                self.root.look(loader)
        except OSError as problem:
            said = words(problem.errno or 0)
            hint = f"it needs the loader {loader}, which the image lacks: add it and the libraries that ldd lists"
            if "musl" in loader or self.root.names("/lib/ld-musl-x86_64.so.1"):
                hint += " (it is made for musl, as of Alpine)"
            yield Finding(_POINTER, f"{file.path}: its loader {loader}: {said}", hint)

    def _script(self, file: File, head: bytes, depth: int) -> Iterator[Finding]:
        path, argument = executable.interpreter(head)
        shown = path.rstrip("\r")
        if path != shown:
            yield Finding(_POINTER, f"{file.path}: its interpreter {shown}\\r: {words(_ENOENT)}", _CRLF)
            return
        if depth == _DEEPEST:
            hint = "its interpreter is a script, whose interpreter is one, and so on"
            yield Finding(_POINTER, f"{file.path}: {words(40)}", hint)
            return
        try:
            found = self.root.look(os.path.join(self.cwd, path))
        except OSError as problem:
            near = did_you_mean(os.path.basename(path), self.root.names(os.path.dirname(path)))
            hint = self._elsewhere(os.path.basename(path)) or near or f"the image has no {path}"
            yield Finding(_POINTER, f"{file.path}: its interpreter {path}: {words(problem.errno or 0)}", hint)
            return
        if refused := self._no_access(found):
            yield refused
        elif os.path.basename(path) == "env" and argument and argument[0] != "-":
            yield from self._by_env(file, argument)
        else:
            yield from self._content(found, depth + 1)

    def _by_env(self, file: File, argument: str) -> Iterator[Finding]:
        """``#!/usr/bin/env NAME``: env(1) starts, and looks for the name in PATH."""
        shown = argument.rstrip("\r")
        if argument != shown:
            yield Finding(_POINTER, f"{file.path}: env will not find {shown}\\r", _CRLF)
            return
        for place in self.places:
            try:
                self.root.look(f"{place}/{argument}")
            except OSError:
                continue
            return
        path = ":".join(self.places)
        yield Finding(_POINTER, f"{file.path}: env will not find {argument}", f"PATH is {path}", "warning")


class _User:
    """Whose program it is: the ids as the host's files know them, and the capability that passes over modes."""

    def __init__(self, subject: Subject) -> None:
        user: dict[str, Any] = subject.process.get("user") or {}
        self.subject = subject
        self.uid: int = user.get("uid", 0)
        self.groups = [user.get("gid", 0), *(user.get("additionalGids") or ())]
        effective = (subject.process.get("capabilities") or {}).get("effective") or ()
        self.overrides = "CAP_DAC_OVERRIDE" in effective
        self.searches = self.overrides or "CAP_DAC_READ_SEARCH" in effective

    def may(self, status: os.stat_result, directory: bool) -> bool:
        """Whether the mode lets this user execute the file, or search the directory."""
        mode = status.st_mode
        uid, gid = self._inside("uid", status.st_uid), self._inside("gid", status.st_gid)
        if self.subject.namespace("user") or any(map(self.subject.doubts, _ALLOWS)):
            return True  # the ids of a namespace that is joined are not known
        if (self.searches if directory else self.overrides) and uid is not None and gid is not None:
            return directory or bool(mode & 0o111)
        if uid == self.uid:
            return bool(mode & stat.S_IXUSR)
        return bool(mode & (stat.S_IXGRP if gid in self.groups else stat.S_IXOTH))

    def _inside(self, kind: str, number: int) -> int | None:
        """The id in the container; None for one that is not mapped."""
        if self.subject.namespace("user") is None:
            return number
        for each in self.subject.linux.get(f"{kind}Mappings") or ():
            if each["hostID"] <= number < each["hostID"] + each["size"]:
                return int(each["containerID"] + number - each["hostID"])
        return None
