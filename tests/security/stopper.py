"""Kills one process of a command at the entry of one of its system calls; by ptrace(2), since strace(1) cannot choose.

A program of its own, because it waits for whatever child: stopper.py REPORT PROCESS CALL COMMAND…

Processes are numbered by their birth: 0 is the command, the others are its copies (middle, init, keepers, compilers,
hooks until they are programs). Calls count from 1 in each process; PROCESS -1 kills nobody. REPORT gets, as JSON, the
system calls' numbers of each process, as far as it came before its execve(2) of another program, and the command's end.
What lives on when the command has ended is let go.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

CONT, SYSCALL, SETOPTIONS, GETEVENTMSG, GET_SYSCALL_INFO = 7, 24, 0x4200, 0x4201, 0x420E
SYSGOOD, FORK, VFORK, CLONE, EXEC = 0x01, 0x02, 0x04, 0x08, 0x10
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC = 1, 2, 3, 4
SYSCALL_STOP = signal.SIGTRAP | 0x80
ENTRY = 1
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, address: int = 0, data: object = None) -> bool:
    """False when the process has died meanwhile."""
    return bool(libc.ptrace(request, pid, address, data) >= 0)


class Stopper:
    """One command under trace."""

    def __init__(self, process: int, call: int) -> None:
        self.wanted = (process, call)
        self.runtime = ""
        self.calls: list[list[int]] = []
        self.number: dict[int, int] = {}
        self.programs: set[int] = set()
        self.held: set[int] = set()

    def run(self, argv: list[str]) -> int:
        """Returns the command's exit code, or minus the signal that ended it."""
        self.runtime = Path(argv[0]).name
        command = os.fork()
        if command == 0:
            ptrace(0, 0)  # PTRACE_TRACEME
            os.execv(argv[0], argv)
        os.waitpid(command, WALL)
        ptrace(SETOPTIONS, command, 0, SYSGOOD | FORK | VFORK | CLONE | EXEC)
        self._born(command)
        while True:
            pid, status = os.waitpid(-1, WALL)
            if os.WIFSTOPPED(status):
                self._stopped(pid, status)
            elif pid == command:
                return os.waitstatus_to_exitcode(status)

    def _born(self, pid: int) -> None:
        self.number[pid] = len(self.calls)
        self.calls.append([])
        self._go(pid)

    def _go(self, pid: int, deliver: int = 0) -> None:
        ptrace(CONT if pid in self.programs else SYSCALL, pid, 0, deliver)

    def _stopped(self, pid: int, status: int) -> None:
        number, event = os.WSTOPSIG(status), status >> 16
        if pid not in self.number and pid not in self.programs:
            self.held.add(pid)  # until its parent's stop tells whose child it is
        elif number == SYSCALL_STOP:
            self._call(pid)
            self._go(pid)
        elif event in (EVENT_FORK, EVENT_VFORK, EVENT_CLONE):
            self._cloned(pid)
            self._go(pid)
        elif event == EVENT_EXEC:
            if self.number.get(pid) and not self._is_itself(pid):  # the command itself goes on in its launcher
                self.programs.add(pid)
            self._go(pid)
        else:
            self._go(pid, 0 if number == signal.SIGTRAP else number)

    def _is_itself(self, pid: int) -> bool:
        """Whether what was executed is the runtime again, or its copy in memory."""
        try:
            return self.runtime in str(Path(f"/proc/{pid}/exe").readlink())
        except OSError:
            return False

    def _cloned(self, parent: int) -> None:
        message = ctypes.c_ulong()
        ptrace(GETEVENTMSG, parent, 0, ctypes.addressof(message))
        child = message.value
        if child not in self.held:
            os.waitpid(child, WALL)
        self.held.discard(child)
        if parent in self.programs:
            self.programs.add(child)
            self._go(child)
        else:
            self._born(child)

    def _call(self, pid: int) -> None:
        info = ctypes.create_string_buffer(88)
        if not ptrace(GET_SYSCALL_INFO, pid, len(info), ctypes.addressof(info)) or info.raw[0] != ENTRY:
            return
        process = self.number[pid]
        made = self.calls[process]
        made.append(int.from_bytes(info.raw[24:32], "little"))
        if (process, len(made)) == self.wanted:
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    stopper = Stopper(int(sys.argv[2]), int(sys.argv[3]))
    code = stopper.run(sys.argv[4:])
    Path(sys.argv[1]).write_text(json.dumps({"calls": stopper.calls, "code": code}))
