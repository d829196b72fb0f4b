"""The operations and the states between them: runtime.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun_conformance import claims
from ocirun_conformance.case import case, expect, expect_equal
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial


@case("RT-002", "RT-003", "RT-005", "RT-008")
def members_of_the_state(trial: Trial) -> None:
    """the state has ociVersion, id, status and the absolute path of the bundle"""
    made = trial.created(trial.config(["wait"]))
    state = made.state()
    expect(isinstance(state.get("ociVersion"), str), "the state has no ociVersion", seen=state)
    newest = claims.features(trial).get("ociVersionMax") or state["ociVersion"]
    newer = claims.numbers(state["ociVersion"]) > claims.numbers(newest)
    expect(not newer, f"the ociVersion of the state is newer than {newest}, the newest of features", seen=state)
    expect_equal(state.get("id"), made.ident, "the id in the state")
    expect_equal(state.get("status"), "created", "the status after create")
    expect_equal(state.get("bundle"), str(made.bundle.path), "the bundle in the state")


@case("RT-023", "RT-046", "RT-051", "RT-055")
def a_whole_life(trial: Trial) -> None:
    """start runs the program, kill ends it, delete removes the container"""
    made = trial.started(trial.config(["wait"]))
    made.await_lines(1)
    ok(made.kill("KILL"), "kill")
    made.wait()
    ok(made.delete(), "delete")
    expect(made.query().code != 0, "state still knows the container after delete")
