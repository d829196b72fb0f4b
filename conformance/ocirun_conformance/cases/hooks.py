"""The six kinds of hooks: config.md, POSIX-platform Hooks. Their moments and failures are in modules of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.recorder import BEFORE_PIVOT, STAGES, Recorder, live, live_on
from ocirun_conformance.schema import STATUSES, problems_of_state

if TYPE_CHECKING:
    from ocirun_conformance.trial import Container, Trial

CONTAINERS = ("createContainer", "startContainer")
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
STATUS: dict[str, tuple[str, ...]] = {
    # runtime.md: create has not finished, but step 2 has
    **dict.fromkeys(BEFORE_PIVOT, ("creating", "created")),
    "startContainer": ("created",),
    "poststart": ("running",),
    "poststop": ("stopped",),
}
ANNOTATIONS = {"com.example.key": "value", "com.example.empty": ""}


def recorded(trial: Trial) -> Recorder:
    """A configuration whose program waits; hooks are to be added."""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    return recorder


@each(
    row("prestart", "RT-015 CFG-118 CFG-137", "prestart", "create"),
    row("createRuntime", "RT-017 CFG-123 CFG-140", "createRuntime", "create"),
    row("createContainer", "RT-019 CFG-125 CFG-144", "createContainer", "create"),
    row("poststart", "RT-024 CFG-129 CFG-150", "poststart", "start"),
    row("poststop", "RT-027 CFG-131 CFG-153", "poststop", "delete"),
)
def a_program_of_the_host_is_called(trial: Trial, stage: str, operation: str) -> None:
    """{1} calls a {0} hook, once, whose program is on the host only"""
    recorder = recorded(trial)
    recorder.hook(stage)
    live(trial, recorder)
    expect(recorder.order.count(stage) > 0, f"{operation} succeeds, but the {stage} hook did not run")
    expect_equal(recorder.order.count(stage), 1, f"how often the {stage} hook ran")


@case("RT-021", "CFG-127", "CFG-147")
def a_program_of_the_container_is_called(trial: Trial) -> None:
    """start calls a startContainer hook, once, whose program is in the container only"""
    recorder = recorded(trial)
    recorder.hook("startContainer")
    live(trial, recorder)
    expect_equal(recorder.order.count("startContainer"), 1, "how often the startContainer hook ran")


@case("CFG-127", "CFG-147")
def a_program_of_the_host_is_not_found_in_the_container(trial: Trial) -> None:
    """the path of a startContainer hook does not lead to a program of the host"""
    recorder = recorded(trial)
    recorder.hook("startContainer")
    recorder.config["hooks"]["startContainer"][0]["path"] = str(recorder.program)
    made = trial.container(recorder.config)
    if made.create().code == 0:
        made.watch()
        made.start()
    expect("startContainer" not in recorder.order, "the startContainer hook's program is taken from the host")


@each(
    row("prestart", "CFG-119 CFG-138", "prestart"),
    row("createRuntime", "CFG-124 CFG-141", "createRuntime"),
    row("poststart", "CFG-130 CFG-151", "poststart"),
    row("poststop", "CFG-132 CFG-154", "poststop"),
)
def they_run_where_the_runtime_runs(trial: Trial, stage: str) -> None:
    """a {0} hook runs in the runtime's namespaces and at its root"""
    recorder = recorded(trial)
    recorder.hook(stage, "", ["report"], ["stat", "/"])
    live(trial, recorder)
    seen = recorder.action(stage, "report")["namespaces"]
    outside = {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}
    expect_equal({name: seen[name] for name in NAMESPACES}, outside, f"the namespaces of the {stage} hook")
    root = os.stat("/")
    expect_equal(recorder.action(stage, "stat")["inode"], root.st_ino, f"the root directory of the {stage} hook")


@each(
    row("createContainer", "CFG-126 CFG-145", "createContainer"),
    row("startContainer", "CFG-128 CFG-148", "startContainer"),
)
def they_run_where_the_container_runs(trial: Trial, stage: str) -> None:
    """a {0} hook runs in the container's namespaces"""
    recorder = recorded(trial)
    recorder.runs(["report"], ["wait"])
    recorder.hook(stage, "", ["report"])
    live(trial, recorder)
    seen = recorder.action(stage, "report")["namespaces"]
    inside = recorder.action("program", "report")["namespaces"]
    expect_equal(
        {name: seen[name] for name in NAMESPACES},
        {name: inside[name] for name in NAMESPACES},
        f"the namespaces of the {stage} hook",
    )


@each(*(row(stage, "CFG-133", stage) for stage in STAGES))
def they_run_in_their_order(trial: Trial, stage: str) -> None:
    """several {0} hooks run in the order in which they are listed"""
    recorder = recorded(trial)
    names = [f"{stage}-{number}" for number in (3, 1, 2, 0)]
    for name in names:
        recorder.hook(stage, name, ["stdin"])
    live(trial, recorder)
    expect_equal([name for name in recorder.order if name != "program"], names, f"the order of the {stage} hooks")


@case("CFG-136", "CFG-143")
def kinds_of_create_follow_each_other(trial: Trial) -> None:
    """in create come the prestart, then the createRuntime, then the createContainer hooks"""
    recorder = recorded(trial)
    for stage in reversed(BEFORE_PIVOT):
        recorder.hook(stage, f"{stage}-0", ["stdin"])
        recorder.hook(stage, f"{stage}-1", ["stdin"])
    live(trial, recorder)
    expected = [f"{stage}-{number}" for stage in BEFORE_PIVOT for number in (0, 1)]
    expect_equal([name for name in recorder.order if name != "program"], expected, "the order of the hooks of create")


def read_state(trial: Trial, stage: str) -> tuple[Container, Recorder, dict[str, Any]]:
    """A life with a hook of this kind; the state that the hook read."""
    recorder = recorded(trial)
    recorder.config["annotations"] = dict(ANNOTATIONS)
    recorder.hook(stage)
    made = live(trial, recorder)
    return made, recorder, recorder.state(stage)


@each(*(row(stage, "CFG-134 RT-009", stage) for stage in STAGES))
def the_state_on_standard_input(trial: Trial, stage: str) -> None:
    """a {0} hook reads the container's state, which fits the schema, with its id and annotations"""
    made, _recorder, state = read_state(trial, stage)
    expect(not problems_of_state(state), f"the state of a {stage} hook: {problems_of_state(state)}", seen=state)
    expect_equal(state["id"], made.ident, f"the id in the state of a {stage} hook")
    expect_equal(state.get("annotations"), ANNOTATIONS, f"the annotations in the state of a {stage} hook")


@each(*(row(stage, "CFG-134 RT-005", stage, " or ".join(STATUS[stage])) for stage in STAGES))
def the_status_on_standard_input(trial: Trial, stage: str, words: str) -> None:
    """a {0} hook reads that the container is {1}"""
    recorder = recorded(trial)
    recorder.hook(stage)
    made = trial.created(recorder.config)
    if stage == "poststart" and stage in recorder.order:
        raise NotRun("the runtime runs poststart hooks in create, which is judged by hook_moments")
    live_on(made, recorder)
    status = recorder.state(stage).get("status")
    expect(status in STATUS[stage], f"the status in the state of a {stage} hook is not {words}", seen=status)


@case("RT-006")
def no_status_of_its_own(trial: Trial) -> None:
    """no hook reads a status beyond the four, which cover all moments of hooks"""
    recorder = recorded(trial)
    for stage in STAGES:
        recorder.hook(stage)
    live(trial, recorder)
    seen = {stage: recorder.state(stage).get("status") for stage in STAGES}
    own = {stage: status for stage, status in seen.items() if status not in STATUSES}
    expect(not own, "the state of a hook has a status of the runtime's own for what the four say", seen=own)


@each(*(row(stage, "CFG-134 RT-008", stage) for stage in STAGES))
def the_bundle_on_standard_input(trial: Trial, stage: str) -> None:
    """a {0} hook reads the absolute path of the bundle on the host"""
    made, _recorder, state = read_state(trial, stage)
    expect_equal(state.get("bundle"), str(made.bundle.path), f"the bundle in the state of a {stage} hook")


@each(*(row(stage, "RT-007", stage) for stage in STAGES if stage != "poststop"))
def the_pid_on_standard_input(trial: Trial, stage: str) -> None:
    """a {0} hook reads the pid of the container's process as it is seen where the hook runs"""
    made, _recorder, state = read_state(trial, stage)
    if state.get("status") == "creating" and "pid" not in state:
        return
    expect_equal(state.get("pid"), 1 if stage in CONTAINERS else made.pid, f"the pid in the state of a {stage} hook")


@each(*(row(stage, "RT-039", stage) for stage in STAGES))
def arguments_and_environment(trial: Trial, stage: str) -> None:
    """a {0} hook has exactly the arguments and the environment that it was given"""
    recorder = recorded(trial)
    variables = ["A=1", "B=x=y", "EMPTY=", "PATH=/nowhere"]
    recorder.hook(stage, "", ["report"], ["exit", 0, "a b", "", "$HOME", "*"], env=variables)
    entry = recorder.config["hooks"][stage][0]
    entry["args"][0] = "another name"
    live(trial, recorder)
    facts = recorder.action(stage, "report")
    expect_equal(facts["argv"], entry["args"], f"the arguments of a {stage} hook")
    expect_equal(sorted(facts["env"]), sorted(variables), f"the environment of a {stage} hook")


@case("RT-017")
def a_path_alone_is_enough(trial: Trial) -> None:
    """a hook that has a path and nothing else runs"""
    recorder = recorded(trial)
    script = trial.path / "script"
    script.write_text(f"#!/bin/sh\necho ran > {recorder.folder}/ran\n")
    script.chmod(0o755)
    recorder.config["hooks"] = {"createRuntime": [{"path": str(script)}]}
    trial.created(recorder.config)
    expect((recorder.folder / "ran").exists(), "a createRuntime hook with only a path did not run")


@each(
    row("prestart", "RT-015", "prestart"),
    row("createRuntime", "RT-017", "createRuntime"),
    row("createContainer", "RT-019", "createContainer"),
    row("startContainer", "RT-021", "startContainer"),
    row("poststart", "RT-024", "poststart"),
    row("poststop", "RT-027", "poststop"),
)
def hooks_need_not_read(trial: Trial, stage: str) -> None:
    """a {0} hook that does not read its standard input, though the state is long, succeeds, and the next one runs"""
    recorder = recorded(trial)
    recorder.config["annotations"] = {"com.example.long": "x" * 300_000}
    recorder.hook(stage, "unread", ["exit", 0])
    recorder.hook(stage, "next", ["exit", 0])
    live(trial, recorder)
    expect_equal(
        [name for name in recorder.order if name != "program"], ["unread", "next"], "the list of hooks that ran"
    )


@case("RT-038")
def no_hook_is_no_hook(trial: Trial) -> None:
    """empty lists of hooks are no error"""
    recorder = recorded(trial)
    recorder.config["hooks"] = {stage: [] for stage in STAGES}
    live(trial, recorder)
    expect_equal(recorder.order, ["program"], "what ran")
