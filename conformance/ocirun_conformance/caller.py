"""The runtime's caller: whose process attributes a program has unless the configuration says otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from . import probe
from .probe import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .trial import Trial


def called_with(trial: Trial, statement: str) -> None:
    """From now on the runtime is executed by a process that has carried out a statement of Python.

    statement: may use the modules ctypes and os.
    """
    code = f"import ctypes, os, sys; {statement}; os.execvp(sys.argv[1], sys.argv[1:])"
    trial.runtime.program = (sys.executable, "-I", "-c", code, *trial.runtime.program)


def facts_here(trial: Trial, *actions: Sequence[object]) -> Report:
    """What the probe says as a process of the host, for what this kernel makes of a request. 20 s at most."""
    words = probe.argv(*actions)[1:]
    done = subprocess.run([trial.program, *words], stdout=subprocess.PIPE, text=True, check=True, timeout=20)
    return Report([json.loads(line) for line in done.stdout.splitlines()])
