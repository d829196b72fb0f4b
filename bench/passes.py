"""The passes of a run: on the host as it is, and on cgroup2 alone.

Some runtimes refuse a host on which v1 and v2 hierarchies are mixed. On such a host a second pass runs in a private
mount namespace with cgroup2 mounted on /sys/fs/cgroup; the host's own mounts stay as they are. The controllers stay
bound to v1 there, so that pass leaves limits out, and device rules with them: loading a device program makes some
runtimes raise RLIMIT_MEMLOCK, which needs CAP_SYS_RESOURCE.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from . import REPOSITORY
from .rounds import Pass, PassResult, empty_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .runtimes import Candidate

CGROUP = Path("/sys/fs/cgroup")
HOST, UNIFIED = "host", "unified"
GRACE = 60.0

ENTER = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'


def cgroup_mode(base: Path = CGROUP) -> str:
    """`unified`, `hybrid` (v1 with a cgroup2 beside it) or `v1`."""
    if (base / "cgroup.controllers").exists():
        return "unified"
    return "hybrid" if (base / "unified" / "cgroup.controllers").exists() else "v1"


def run_here(which: str, candidates: Sequence[Candidate], runs: int, seconds: float, many: float) -> PassResult:
    """Measure in this process's own mount namespace."""
    if which == UNIFIED:
        title = "cgroup2 on /sys/fs/cgroup in a private mount namespace, no limits and no device rules"
        return Pass(title, candidates, limits=False, runs=runs, seconds=seconds, many=many).run()
    title = f"host, cgroup {cgroup_mode()}"
    return Pass(title, candidates, limits=True, runs=runs, seconds=seconds, many=many).run()


def _finish(child: subprocess.Popen[bytes], timeout: float) -> int:
    """The child's exit code; when it takes too long or we are interrupted it is asked to clean up and end."""
    try:
        return child.wait(timeout)
    except BaseException as error:
        child.send_signal(signal.SIGTERM)
        code = child.wait(GRACE)
        if isinstance(error, subprocess.TimeoutExpired):
            return code
        raise


def run_unified(candidates: Sequence[Candidate], runs: int, seconds: float, many: float) -> PassResult:
    """Measure in a child that has its own mount namespace and cgroup2; a result without samples when that fails."""
    with tempfile.TemporaryDirectory(prefix="ocirun-bench-") as directory:
        raw = Path(directory) / "raw.json"
        inner = [sys.executable, "-m", "bench", "--pass", UNIFIED, "--raw", str(raw)]
        inner += ["--runs", str(runs), "--max-seconds", str(seconds), "--many", str(many)]
        inner += ["--only", ",".join(one.name for one in candidates)]
        for one in candidates:
            inner += ["--runtime", f"{one.name}={one.path}"]
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"]
        with subprocess.Popen([*enter, *inner], cwd=REPOSITORY, stdin=subprocess.DEVNULL) as child:
            code = _finish(child, seconds + GRACE)
        if code == 0:
            result: PassResult = json.loads(raw.read_text())
            return result
    return empty_result("cgroup2", f"the pass on cgroup2 failed with exit code {code}")
