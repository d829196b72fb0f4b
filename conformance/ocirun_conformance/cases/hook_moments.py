"""When each kind of hook runs, looked at from outside while the hook waits: config.md, POSIX-platform Hooks."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import facility, host
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.recorder import STAGES, Recorder, beside
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.trial import Container, Trial

MADE = ("ipc", "mnt", "pid", "uts")


def recorded(trial: Trial) -> Recorder:
    """A configuration whose program records that it runs and waits; hooks are to be added."""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    return recorder


def namespaces(pid: int | str) -> dict[str, str]:
    """The namespaces of the configuration that a process is in."""
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in MADE}


def mount_points(pid: int) -> list[str]:
    """Where there is a mount in a process's mount namespace."""
    return [line.split(" ")[4] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]


def pid_of(recorder: Recorder, made: Container, stage: str) -> int:
    """The container's process on the host, as soon as a hook of create can know it."""
    pid = recorder.state(stage).get("pid") if stage != "createContainer" else None
    if not pid:
        call = made.query()
        pid = made.state().get("pid") if call.code == 0 else None
    if not pid:
        raise NotRun("the state does not tell the pid during create, which it need not")
    return int(pid)


@each(
    # only root may look at the container's process so early
    row("prestart", "CFG-135", "prestart", needs=[facility.root]),
    row("createRuntime", "CFG-139", "createRuntime", needs=[facility.root]),
    row("createContainer", "CFG-142", "createContainer"),
)
def in_create_before_the_pivot(trial: Trial, stage: str) -> None:
    """a {0} hook runs in create, in the environment that is made, before the root is changed"""
    recorder = recorded(trial)
    recorder.hook(stage if stage == "createContainer" else "createContainer", "inside", ["report"], ["stat", "/"])
    recorder.hold(stage)
    made = trial.container(recorder.config)
    with beside(recorder, made.create, stage) as call:
        report = recorder.action(stage, "report")
        if stage == "createContainer":
            points = list(recorder.report(stage).mounts)
            expect(report["namespaces"]["mnt"] != namespaces("self")["mnt"], "there is no mount namespace yet")
            root = recorder.action("inside", "stat")["inode"]
            expect_equal(root, os.stat("/").st_ino, "the root of a createContainer hook, before the pivot,")
        else:
            pid = pid_of(recorder, made, stage)
            points = mount_points(pid)
            inside, outside = namespaces(pid), namespaces("self")
            shared = [name for name in MADE if inside[name] == outside[name]]
            expect(not shared, f"{', '.join(shared)}: the namespaces are not made when {stage} hooks run")
            there = Path(f"/proc/{pid}/root{made.bundle.path}/config.json").exists()
            expect(there, f"the root is changed already when {stage} hooks run")
        for mount in recorder.config["mounts"]:
            found = any(point.endswith(mount["destination"]) for point in points)
            expect(found, f"{mount['destination']} is not mounted when {stage} hooks run", seen=points)
        expect(not call.done(), f"create does not wait for its {stage} hooks")
    ok(call.result(), "create")
    expect("program" not in recorder.order, "the program runs before start")


@case("CFG-146")
def in_start_before_the_program(trial: Trial) -> None:
    """startContainer hooks run in start, and the program only when they have ended"""
    recorder = recorded(trial)
    recorder.hold("startContainer")
    made = trial.created(recorder.config)
    ok(made.query(), "state")
    begin = time.monotonic_ns()
    # that start waits for them is judged by hook_failures: else it could not tell of their failure
    with beside(recorder, made.start, "startContainer", later=True):
        expect(recorder.when("startContainer") >= begin, "a startContainer hook runs before start is called")
        recorder.action("startContainer", "stdin")
        expect("program" not in recorder.order, "the program runs beside a startContainer hook")
    recorder.await_mark("program")
    expect_equal(recorder.order, ["startContainer", "program"], "the order of startContainer hook and program")


@case("CFG-149")
def in_start_after_the_program_is_executed(trial: Trial) -> None:
    """poststart hooks run when the program is executed, and start waits for them"""
    recorder = recorded(trial)
    recorder.hold("poststart")
    made = trial.container(recorder.config)
    created = made.create()
    begin = time.monotonic_ns()
    expect("poststart" not in recorder.order, "poststart hooks run in create")
    ok(created, "create")
    made.watch()
    with beside(recorder, made.start, "poststart") as call:
        expect(recorder.when("poststart") >= begin, "a poststart hook runs before start is called")
        program = os.stat(made.bundle.rootfs / "probe")
        executed = os.stat(f"/proc/{made.pid}/exe")
        same = (executed.st_dev, executed.st_ino) == (program.st_dev, program.st_ino)
        expect(same, "poststart hooks run before the program is executed", seen=os.readlink(f"/proc/{made.pid}/exe"))
        expect(not call.done(), "start does not wait for its poststart hooks")
    ok(call.result(), "start")


@case("CFG-152")
def in_delete_when_the_container_is_gone(trial: Trial) -> None:
    """poststop hooks run when the container is deleted, and delete waits for them"""
    recorder = recorded(trial)
    recorder.hold("poststop")
    made = trial.started(recorder.config)
    recorder.await_mark("program")
    ok(made.kill("KILL"), "kill")
    made.wait()
    expect("poststop" not in recorder.order, "poststop hooks run before delete")
    with beside(recorder, made.delete, "poststop") as call:
        expect(made.query().code != 0, "state still finds the container when poststop hooks run")
        left = host.cgroup_folders(recorder.config["linux"].get("cgroupsPath") or "/nowhere")
        expect(
            not left, "the container's cgroup is still there when poststop hooks run", seen=[str(each) for each in left]
        )
        expect(not call.done(), "delete does not wait for its poststop hooks")
    ok(call.result(), "delete")


@each(
    row("startContainer", "CFG-146", "startContainer"),
    row("poststart", "CFG-149", "poststart"),
    row("poststop", "CFG-152", "poststop"),
)
def nothing_of_a_later_moment(trial: Trial, stage: str) -> None:
    """create runs no {0} hook"""
    recorder = recorded(trial)
    for each_stage in STAGES:
        recorder.hook(each_stage, "", ["exit", 0])
    made = trial.created(recorder.config)
    expect_equal(made.status, "created", "the status after create")
    expect(stage not in recorder.order, f"a {stage} hook runs in create", seen=recorder.order)


@case("RT-050", "RT-049")
def kill_while_it_is_being_created(trial: Trial) -> None:
    """kill fails while the container is being created, and the creation goes on"""
    recorder = recorded(trial)
    recorder.hold("createRuntime")
    made = trial.container(recorder.config)
    with beside(recorder, made.create, "createRuntime"):
        expect(made.kill("KILL").code != 0, "kill succeeds while the container is being created")
    expect_equal(made.status, "created", "the status after create, during which kill was refused,")
