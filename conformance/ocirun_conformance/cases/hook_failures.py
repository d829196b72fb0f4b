"""What the failure of a hook does: runtime.md, Lifecycle, and the timeouts of config.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocirun_conformance import host
from ocirun_conformance.case import case, each, expect, row
from ocirun_conformance.recorder import BEFORE_PIVOT, Recorder, live

if TYPE_CHECKING:
    from ocirun_conformance.trial import Container, Trial

FAILING = {
    "prestart": "RT-016",
    "createRuntime": "RT-018",
    "createContainer": "RT-020",
    "startContainer": "RT-022",
    "poststart": "RT-025",
}
SLOW_MILLISECONDS = 6000


def failing(trial: Trial, stage: str) -> Recorder:
    """A configuration whose program waits, with a poststop hook."""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    recorder.hook("poststop", "after", ["stdin"])
    recorder.hook(stage, "first", ["stdin"])
    return recorder


def fails(trial: Trial, recorder: Recorder, stage: str) -> Container:
    """Create and, if the hook belongs there, start: that it is an error.

    Where poststart hooks run already in create, which is judged by `hook_moments`, create has to be the error.
    """
    made = trial.container(recorder.config)
    call = made.create()
    if stage in BEFORE_PIVOT or (stage == "poststart" and "first" in recorder.order):
        expect(call.code != 0, f"create succeeds although a {stage} hook fails")
        return made
    expect(call.code == 0, f"create fails although only a {stage} hook fails, which start runs", seen=call.err)
    made.watch()
    expect(made.start().code != 0, f"start succeeds although a {stage} hook fails")
    return made


def gone(recorder: Recorder, made: Container, stage: str) -> None:
    """That the container is stopped and destroyed."""
    made.wait()
    expect(made.query().code != 0, f"the container is not destroyed after a {stage} hook has failed")
    left = [str(folder) for folder in host.cgroup_folders(recorder.config["linux"].get("cgroupsPath") or "/nowhere")]
    expect(not left, f"the cgroup is still there after a {stage} hook has failed", seen=left)
    if stage != "poststart":
        expect("program" not in recorder.order, f"the program runs although a {stage} hook has failed")
    expect("after" in recorder.order, f"poststop hooks do not run after a {stage} hook has failed", seen=recorder.order)


@each(*(row(stage, ident, stage) for stage, ident in FAILING.items()))
def it_ends_the_container(trial: Trial, stage: str) -> None:
    """a failing {0} hook is an error: the container is stopped and destroyed, poststop hooks run"""
    recorder = failing(trial, stage)
    recorder.hook(stage, "bad", ["exit", 3])
    made = fails(trial, recorder, stage)
    expect("first" in recorder.order, f"the {stage} hook before the failing one did not run", seen=recorder.order)
    gone(recorder, made, stage)


@each(*(row(stage, ident, stage) for stage, ident in FAILING.items()))
def a_missing_program_is_a_failure(trial: Trial, stage: str) -> None:
    """a {0} hook whose program does not exist is an error that ends the container"""
    recorder = failing(trial, stage)
    recorder.config["hooks"][stage].append({"path": "/no/such/program"})
    gone(recorder, fails(trial, recorder, stage), stage)


@each(*(row(stage, ident, stage) for stage, ident in FAILING.items()))
def a_signal_is_a_failure(trial: Trial, stage: str) -> None:
    """a {0} hook that is killed by a signal is an error"""
    recorder = failing(trial, stage)
    recorder.hook(stage, "bad", ["crash"])
    gone(recorder, fails(trial, recorder, stage), stage)


@each(*(row(stage, ident, stage) for stage, ident in FAILING.items()))
def a_timeout_is_a_failure(trial: Trial, stage: str) -> None:
    """a {0} hook that takes longer than its timeout is an error that ends the container"""
    recorder = failing(trial, stage)
    recorder.hook(stage, "slow", ["hold", "/nowhere", SLOW_MILLISECONDS], timeout=1)
    gone(recorder, fails(trial, recorder, stage), stage)


@each(*(row(stage, "RT-039", stage) for stage in FAILING))
def a_timeout_ends_a_hook(trial: Trial, stage: str) -> None:
    """a {0} hook that takes longer than its timeout is aborted"""
    recorder = failing(trial, stage)
    recorder.hook(stage, "slow", ["hold", "/nowhere", SLOW_MILLISECONDS], timeout=1)
    made = trial.container(recorder.config)
    if made.create().code == 0:
        made.watch()
        if made.start().code == 0 and stage == "startContainer":
            # start need not have waited for what fails
            made.wait()
    aborted(recorder, "slow", stage)


def aborted(recorder: Recorder, name: str, stage: str) -> None:
    """That a hook began but did not come to its end."""
    recorder.await_mark(name)
    whole = [line["action"] for line in recorder.report(name).lines]
    expect("hold" not in whole, f"a {stage} hook ran for {SLOW_MILLISECONDS} ms, with a timeout of 1 s")


@case("RT-039")
def a_timeout_ends_a_poststop_hook(trial: Trial) -> None:
    """a poststop hook that takes longer than its timeout is aborted"""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    recorder.hook("poststop", "slow", ["hold", "/nowhere", SLOW_MILLISECONDS], timeout=1)
    live(trial, recorder)
    aborted(recorder, "slow", "poststop")


BAD_LAST: dict[str, dict[str, Any]] = {
    "exit": {"args": ["probe", "exit", "3"]},
    "timeout": {"args": ["probe", "hold", "/nowhere", str(SLOW_MILLISECONDS)], "timeout": 1},
    "missing": {"path": "/no/such/program"},
}


@each(*(row(name, "RT-028 RT-030", name) for name in BAD_LAST))
def a_failing_poststop_hook_is_a_warning(trial: Trial, name: str) -> None:
    """after a poststop hook that fails ({0}) the next ones run, and delete succeeds"""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    recorder.config["hooks"] = {"poststop": [{"path": str(recorder.program), **BAD_LAST[name]}]}
    recorder.hook("poststop", "after", ["stdin"])
    made = live(trial, recorder)
    expect("after" in recorder.order, "the poststop hook after a failing one does not run", seen=recorder.order)
    expect(made.query().code != 0, "state still finds the container after delete")


@case("RT-028")
def a_failing_poststop_hook_is_told(trial: Trial) -> None:
    """delete warns, on standard error, that a poststop hook has failed"""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    recorder.config["hooks"] = {"poststop": [{"path": str(recorder.program), **BAD_LAST["exit"]}]}
    live(trial, recorder)
    expect(trial.runtime.calls[-1].err.strip(), "delete says nothing of a poststop hook that has failed")
