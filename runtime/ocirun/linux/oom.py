"""process.oomScoreAdj: written by the parent to /proc/PID/oom_score_adj (proc(5)); lowering needs CAP_SYS_RESOURCE."""

from __future__ import annotations

from ocirun.kernel import files
from ocirun.steps import OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.parent import Host


def adopt(process: dict[str, Any], pointer: str) -> list[OutsideStep]:
    """One step when the config sets it; otherwise the runtime's own value is inherited, as the spec asks."""
    score = process.get("oomScoreAdj")
    if score is None:
        return []
    return [OutsideStep(set_score, f"{pointer}/oomScoreAdj", f"set oom_score_adj to {score}", score)]


def set_score(step: OutsideStep, host: Host) -> None:
    """One write through the host's procfs."""
    files.write_proc(host.proc, b"%d/oom_score_adj" % host.pid, b"%d" % step.args[0])
