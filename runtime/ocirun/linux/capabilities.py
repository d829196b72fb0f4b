"""Capabilities: the five sets of capabilities(7), by capset(2) and prctl(2).

A capability that is unknown, unavailable, or that the kernel would refuse because of the other sets is a warning and
never an error (config.md, process.capabilities).

The order around the change of user is fixed: the bounding set is cut while CAP_SETPCAP is still there;
PR_SET_KEEPCAPS carries the permitted set over setresuid(2); capset(2) then sets what was asked for; ambient comes
last because it must be a subset of permitted and inheritable. SECURITY: `inheritable` is exactly what the config says
and `exec --cap` never adds to it (CVE-2022-29162).
"""

from __future__ import annotations

import os

from ocirun import log
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.steps import InsideStep
from ocirun_spec.names import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.facts import Facts
    from ocirun.scene import Scene

SETS: Final = ("effective", "permitted", "inheritable", "bounding", "ambient")
CAP_SYS_ADMIN: Final = 1 << 21


def masks(capabilities: dict[str, list[str]], available: int, pointer: str) -> dict[str, int]:
    """Bit masks of the five sets, reduced to `available`; warns about the rest."""
    ignored: set[str] = set()
    found = {}
    for name in SETS:
        mask = 0
        for capability in capabilities.get(name) or ():
            number = CAPABILITIES.get(capability, -1)
            if number < 0 or not available >> number & 1:
                ignored.add(capability)
            else:
                mask |= 1 << number
        found[name] = mask
    if ignored:
        text = f"{pointer}/capabilities: ignoring unknown or unavailable capabilities: {', '.join(sorted(ignored))}"
        log.warning(text + _hint(sorted(ignored - CAPABILITIES.keys())))
    _within(found, "effective", "permitted", pointer)
    _within(found, "inheritable", "bounding", pointer)
    _within(found, "ambient", "permitted", pointer)
    _within(found, "ambient", "inheritable", pointer)
    return found


def _hint(unknown: list[str]) -> str:
    if not unknown:
        return ""
    from ocirun import hints

    return hints.capabilities(unknown)


def _within(found: dict[str, int], name: str, other: str, pointer: str) -> None:
    """Reduce a set to another one, as capset(2) and PR_CAP_AMBIENT_RAISE want it, and say so."""
    outside = found[name] & ~found[other]
    if outside:
        names = ", ".join(sorted(key for key, number in CAPABILITIES.items() if outside >> number & 1))
        log.warning(f"{pointer}/capabilities/{name}: ignoring what is not in {other}: {names}")
        found[name] &= found[other]


def last_capability() -> int:
    """The highest capability number of this kernel: PR_CAPBSET_READ fails with EINVAL beyond it."""
    fd = os.open("/proc/sys/kernel/cap_last_cap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(fd, 16))
    finally:
        os.close(fd)


def plan(
    process: dict[str, Any], facts: Facts, pointer: str, userns: bool, late_seccomp: bool
) -> tuple[InsideStep, InsideStep, InsideStep | None]:
    """Steps (before the user changes, after it, and the last drop when a filter must be loaded with CAP_SYS_ADMIN).

    userns: the container has a user namespace of its own, in which every capability of the kernel is to be had.
    late_seccomp: a filter is loaded without no_new_privs, which seccomp(2) allows only to CAP_SYS_ADMIN.
    """
    last = last_capability()
    everything = (1 << last + 1) - 1
    wanted = masks(process.get("capabilities") or {}, everything if userns else facts.effective, pointer)
    where = f"{pointer}/capabilities"
    extra = CAP_SYS_ADMIN if late_seccomp else 0
    dropped = tuple(number for number in range(last + 1) if not wanted["bounding"] >> number & 1)
    bounding = InsideStep(cut_bounding, f"{where}/bounding", "cut the bounding set", dropped)
    sets = (wanted["effective"] | extra, wanted["permitted"] | extra, wanted["inheritable"])
    ambient = tuple(number for number in range(last + 1) if wanted["ambient"] >> number & 1)
    grant = InsideStep(set_capabilities, where, "set the capabilities", sets, ambient)
    if not extra:
        return bounding, grant, None
    final = (wanted["effective"], wanted["permitted"], wanted["inheritable"])
    return bounding, grant, InsideStep(set_capabilities, where, "drop CAP_SYS_ADMIN after the filter", final, ())


def cut_bounding(step: InsideStep, _scene: Scene) -> None:
    """Drop what is not wanted, and keep the permitted set over the coming setresuid(2)."""
    for number in step.args[0]:
        raw.checked("prctl", raw.syscall(raw.PRCTL, kernel.PR_CAPBSET_DROP, number, 0, 0, 0), "PR_CAPBSET_DROP")
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1, name="PR_SET_KEEPCAPS")


def set_capabilities(step: InsideStep, _scene: Scene) -> None:
    """capset(2), then the ambient set."""
    (effective, permitted, inheritable), ambient = step.args
    kernel.capset(effective, permitted, inheritable)
    for number in ambient:
        kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_RAISE, number, name="PR_CAP_AMBIENT_RAISE")
