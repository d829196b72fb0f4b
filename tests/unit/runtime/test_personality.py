"""What linux.personality becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ocirun.errors import Failure
from ocirun.linux import personality

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.plan import Plan


@pytest.mark.parametrize(("domain", "number"), [("LINUX", 0), ("LINUX32", 8)])
def test_domains(domain: str, number: int) -> None:
    (step,) = personality.inside({"domain": domain, "flags": []})
    assert (step.deed, step.pointer, step.args) == ("become", "/linux/personality", (number,))


def test_flags_are_refused() -> None:
    with pytest.raises(Failure) as caught:
        personality.inside({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]})
    assert caught.value.where == "/linux/personality/flags/0"


def test_before_any_filter(composed: Callable[..., Plan], config: dict[str, Any]) -> None:
    config["linux"]["personality"] = {"domain": "LINUX"}
    deeds = [step.deed for step in composed(config).inside]
    assert deeds.index("become") < deeds.index("set_no_new_privileges")
