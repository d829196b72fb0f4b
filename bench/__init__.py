"""Measures OCI runtimes side by side: `python -m bench --help`.

Rules: every runtime that is found takes part in the same run; rounds are interleaved and shuffled, so that a slow
minute of the machine hits all of them; a number is a median with its spread, never a single run; every container,
cgroup and directory made here is removed, also after an interruption.
"""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

# The test support package is not installed; the bench shares its bundle builder instead of having a second one.
sys.path.insert(0, str(REPOSITORY / "tests"))
