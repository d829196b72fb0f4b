"""What linux.timeOffsets becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.bundle import with_namespace, with_user_namespace

from ocirun.kernel import process as kernel
from ocirun.linux import timens
from ocirun.linux.namespaces import Namespaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.plan import Plan


def offsets(**clocks: dict[str, int]) -> dict[str, Any]:
    return {"linux": {"timeOffsets": clocks, "namespaces": [{"type": "time"}, {"type": "pid"}]}}


def test_one_write() -> None:
    (step,) = timens.inside(offsets(boottime={"secs": -5, "nanosecs": 7}, monotonic={}))
    assert step.args == (b"boottime -5 7\nmonotonic 0 0\n",)
    assert step.pointer == "/linux/timeOffsets"
    assert step.text == "make the time namespace with the offsets boottime -5, monotonic 0"


def test_without_offsets_the_clone_makes_the_namespace() -> None:
    assert timens.inside(offsets()) == timens.inside({}) == []
    assert Namespaces(offsets()).new == kernel.CLONE_NEWPID | kernel.CLONE_NEWTIME
    assert Namespaces(offsets(boottime={})).new == kernel.CLONE_NEWPID


def test_as_the_runtimes_user(composed: Callable[..., Plan], config: dict[str, Any]) -> None:
    """The files of the process in /proc are not those of the user namespace's root."""
    with_user_namespace(with_namespace(config, "time"))
    config["linux"]["timeOffsets"] = {"boottime": {"secs": 1}}
    deeds = [step.deed for step in composed(config).inside]
    assert deeds.index("shift_clocks") < deeds.index("become_root")
