"""What a person can try when `create` or `run` has failed: found by the checks of `validate`. Cold.

A hint is a courtesy: whatever goes wrong while it is looked for, the sentence stands alone. The libraries are found
only after `cold.enable`, so nothing of them is imported above.
"""

from __future__ import annotations

import os

from ocirun import cold
from ocirun.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.bundle import Bundle

_PARTS = ("/root", "/process", "/mounts", "/hooks", "/linux")


def add(problem: Failure, bundle: Bundle) -> None:
    """Give a failure at a place of the config the hint that the checks have about it."""
    if problem.hint or not problem.where.startswith(_PARTS):
        return
    try:
        cold.enable()
        problem.hint = _found(problem.where, bundle)
    except Exception:  # noqa: BLE001 - no hint is worth the sentence
        return


def _found(where: str, bundle: Bundle) -> str:
    from ocirun import checks
    from ocirun.checks.subject import within
    from ocirun_spec.cautions import Cautions
    from ocirun_spec.positions import Positions

    for caution in Cautions(os.path.join(bundle.path, "config.json"), Positions(bundle.text)).all(bundle.config):
        if caution.hint and within(caution.pointer, where):
            return f"{caution.pointer}: {caution.message}; {caution.hint}"
    subject = checks.Subject(bundle.config, bundle.path)
    return next((finding.hint for finding in checks.about(where, subject) if finding.hint), "")


def capabilities(names: list[str]) -> str:
    """What may be meant by unknown capabilities, to stand behind a warning; empty when nothing is like them."""
    try:
        cold.enable()
        from ocirun_spec.cautions import like_a_capability
    except (Failure, ImportError, MemoryError, OSError):
        return ""
    return "".join(f"; {hint}" for hint in dict.fromkeys(map(like_a_capability, names)) if hint)
