"""What each operation does and refuses: runtime.md, Operations."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import facility, host
from ocirun_conformance.case import case, each, expect, expect_equal, row
from ocirun_conformance.recorder import Recorder
from ocirun_conformance.schema import problems_of_state
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.trial import Container, Trial


def finished(made: Container) -> Container:
    """Killed and ended."""
    ok(made.kill("KILL"), "kill")
    made.wait()
    return made


@each(
    row("state", "RT-032", "state"),
    row("create", "RT-035", "create"),
    row("start", "RT-043", "start"),
    row("kill", "RT-048", "kill"),
    row("delete", "RT-052", "delete"),
)
def an_id_is_wanted(trial: Trial, operation: str) -> None:
    """{0} without an id fails"""
    bundle = trial.bundle(trial.config())
    values = {"bundle": str(bundle.path), "pid_file": str(trial.path / "pid"), "signal": "KILL", "id": ""}
    call = trial.runtime.call(trial.runtime.command(operation, values), trial.new_file(operation))
    expect(call.code != 0, f"{operation} succeeds without an id")


@case("RT-035")
def a_bundle_is_wanted(trial: Trial) -> None:
    """create fails where there is no bundle"""
    trial.refused(trial.bundle(), "a folder without a config.json")


@each(
    row("state", "RT-033", "state"),
    row("start", "RT-045", "start"),
    row("kill", "RT-050", "kill"),
    row("delete", "RT-054", "delete"),
)
def of_nobody(trial: Trial, operation: str) -> None:
    """{0} of a container that does not exist fails"""
    command = trial.runtime.command(operation, {"id": "oc-nobody", "signal": "KILL"})
    call = trial.runtime.call(command, trial.new_file(operation))
    expect(call.code != 0, f"{operation} succeeds for a container that was never created")


@each(row("slash", "RT-036 RT-037", "a/b"), row("blank", "RT-036 RT-037", "a b"), row("dots", "RT-036 RT-037", "..a"))
def a_strange_id(trial: Trial, ident: str) -> None:
    """the id "{0}" is refused, or taken as it is"""
    made = trial.container(trial.config(["wait"]), f"{trial.token}{ident}")
    if made.create().code == 0:
        expect_equal(made.state().get("id"), made.ident, "the id in the state")


@case("RT-001", "RT-031", "RT-034", "RT-009", "RT-006", "RT-007")
def the_state_of_each_status(trial: Trial) -> None:
    """state tells created, running and stopped, with the pid of the container's process"""
    config = trial.config(["wait"])
    config["annotations"] = {"com.example.key": "value"}
    made = trial.created(config)
    for status in ("created", "running", "stopped"):
        if status == "running":
            ok(made.start(), "start")
            made.await_lines(1)
        elif status == "stopped":
            finished(made)
        state = made.state()
        expect(not problems_of_state(state), f"the state: {problems_of_state(state)}", seen=state)
        expect_equal(state["status"], status, "the status")
        expect_equal(state.get("annotations"), config["annotations"], "the annotations in the state")
        if status != "stopped":
            pid = state.get("pid")
            inside = isinstance(pid, int) and pid > 0 and host.is_in_bundle(pid, made.bundle.path)
            expect(inside, f"the pid of a container that is {status} is not that of its process", seen=pid)


@case("RT-010", "RT-012", "RT-013", "RT-038", "RT-039", "RT-040", needs=[facility.root])
def create_makes_all_but_the_program(trial: Trial) -> None:
    """after create there are namespaces, mounts and cgroup, and the program has not run"""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    made = trial.created(recorder.config)
    process = Path(f"/proc/{made.pid}")
    for name in ("ipc", "mnt", "pid", "uts"):
        same = (process / "ns" / name).readlink() == Path(f"/proc/self/ns/{name}").readlink()
        expect(not same, f"there is no {name} namespace after create")
    points = {line.split(" ")[4] for line in (process / "mountinfo").read_text().splitlines()}
    missing = [each["destination"] for each in recorder.config["mounts"] if each["destination"] not in points]
    expect(not missing, "mounts are missing after create", seen=missing)
    path = recorder.config["linux"].get("cgroupsPath")
    expect(not path or host.cgroup_folders(path), "there is no cgroup after create")
    expect(not (process / "exe").samefile(made.bundle.rootfs / "probe"), "create executes the program")
    expect("program" not in recorder.order, "the program runs before start")
    ok(made.start(), "start")
    recorder.await_mark("program")


@case("RT-014")
def later_edits_do_not_matter(trial: Trial) -> None:
    """what is written into config.json after create has no effect"""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    made = trial.created(recorder.config)
    first = json.loads(json.dumps(recorder.config))
    recorder.runs(["exit", 3])
    for stage in ("startContainer", "poststart", "poststop"):
        recorder.hook(stage)
    made.bundle.write({**recorder.config, "annotations": {"com.example.late": "x"}})
    ok(made.start(), "start")
    recorder.await_mark("program")
    expect(not made.state().get("annotations"), "annotations are those of the edited config.json")
    expect_equal(made.status, "running", "the status of the program that was configured at create")
    ok(finished(made).delete(), "delete")
    expect_equal(recorder.order, ["program"], "what ran")
    made.bundle.write(first)


@case("RT-004", "RT-036", "RT-037")
def an_id_is_taken(trial: Trial) -> None:
    """create with an id that is in use fails and leaves its container alone"""
    made = trial.created(trial.config(["wait"]))
    before = made.state()
    second = trial.container(trial.bundle(trial.config(["wait"])), made.ident)
    trial.containers.remove(second)
    expect(second.create().code != 0, "create takes an id that is in use")
    expect_equal(made.state(), before, "the state of the container that has the id")


@case("RT-011", "RT-041", "RT-042", "RT-029")
def what_cannot_be_made_is_an_error(trial: Trial) -> None:
    """create fails when a mount cannot be made, and leaves no container, cgroup or mount"""
    config = trial.config(["wait"])
    config["mounts"].append({"destination": "/late", "type": "bind", "source": "/no/such", "options": ["bind"]})
    trial.refused(config, "a bind mount of what does not exist")
    path = config["linux"].get("cgroupsPath")
    expect(not path or not host.cgroup_folders(path), "a create that failed leaves a cgroup")
    expect(not host.mounts_below(trial.path), "a create that failed leaves mounts", seen=host.mounts_below(trial.path))


@case("RT-044", "RT-045", "RT-029")
def start_wants_a_created_container(trial: Trial) -> None:
    """start of a running and of a stopped container fails and runs nothing"""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    made = trial.started(recorder.config)
    recorder.await_mark("program")
    before = made.state()
    expect(made.start().code != 0, "start of a running container succeeds")
    expect_equal(made.state(), before, "the state after a refused start")
    finished(made)
    expect(made.start().code != 0, "start of a stopped container succeeds")
    expect_equal((made.status, recorder.order), ("stopped", ["program"]), "status and programs after a refused start")


@case("RT-047")
def start_wants_a_process(trial: Trial) -> None:
    """without a process in the configuration there is nothing to start"""
    config = trial.config()
    del config["process"]
    trial.refused_at_last(config, "a configuration without process")


@case("RT-023", "RT-046")
def what_execve_refuses_is_an_error(trial: Trial) -> None:
    """start fails when the kernel does not execute the program"""
    config = trial.config()
    bundle = trial.bundle()
    (bundle.rootfs / "bad").write_text("no program\n")
    (bundle.rootfs / "bad").chmod(0o755)
    config["process"]["args"] = ["/bad"]
    bundle.write(config)
    trial.refused_at_last(bundle, "a file that is no program")


@case("RT-049", "RT-050")
def kill_wants_a_process(trial: Trial) -> None:
    """kill of a stopped container fails"""
    made = finished(trial.started(trial.config(["wait"])))
    expect(made.kill("TERM").code != 0, "kill of a stopped container succeeds")
    expect_equal(made.status, "stopped", "the status after a refused kill")


@each(*(row(name, "RT-051", name, number) for name, number in (("TERM", 15), ("USR1", 10), ("HUP", 1), ("12", 12))))
def kill_sends_the_signal(trial: Trial, name: str, number: int) -> None:
    """kill sends signal {0}"""
    made = trial.started(trial.config(["await", 1, 10, 12, 15]))
    made.await_lines(1)
    ok(made.kill(name), "kill")
    expect_equal(made.await_lines(2)[1]["signal"], number, "the signal that arrives")


@case("RT-049", "RT-051")
def kill_reaches_a_created_container(trial: Trial) -> None:
    """kill ends a container that was created and not started"""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    made = trial.created(recorder.config)
    ok(made.kill("KILL"), "kill")
    made.wait()
    expect_equal((made.status, recorder.order), ("stopped", []), "the status after kill, and the programs that ran")


@case("RT-055")
def delete_of_a_created_container(trial: Trial) -> None:
    """delete of a container that was not started removes it, or fails and leaves it as it is"""
    made = trial.created(trial.config(["wait"]))
    before = made.state()
    if made.delete().code == 0:
        expect(made.query().code != 0, "delete of a created container succeeds, and state still knows it")
    else:
        expect_equal(made.state(), before, "the state after a refused delete")


@case("RT-053", "RT-054", "RT-029")
def delete_wants_a_stopped_container(trial: Trial) -> None:
    """delete of a running container fails and leaves it running"""
    made = trial.started(trial.config(["await", 10]))
    made.await_lines(1)
    before = made.state()
    expect(made.delete().code != 0, "delete of a running container succeeds")
    expect_equal(made.state(), before, "the state after a refused delete")
    ok(made.kill("USR1"), "kill")
    made.await_lines(2)


@case("RT-026", "RT-055")
def delete_removes_what_was_made(trial: Trial) -> None:
    """delete removes cgroup, mounts and process, and the id is free again"""
    config = trial.config(["wait"])
    made = finished(trial.started(config))
    ok(made.delete(), "delete")
    expect(made.query().code != 0, "state still knows the container after delete")
    left = [str(each) for each in host.cgroup_folders(config["linux"].get("cgroupsPath") or "/nowhere")]
    expect(not left, "delete leaves the cgroup", seen=left)
    expect(not host.mounts_below(trial.path), "delete leaves mounts", seen=host.mounts_below(trial.path))
    expect((made.bundle.rootfs / "probe").exists(), "delete removes files of the bundle")


@case("RT-056")
def delete_keeps_what_was_there(trial: Trial) -> None:
    """delete keeps the folder that was bound, its files, and the bundle"""
    recorder = Recorder(trial, trial.config())
    recorder.runs()
    bundle = trial.bundle(recorder.config)
    (recorder.folder / "kept").touch()
    before = sorted([*bundle.path.rglob("*"), *recorder.folder.rglob("*")])
    ok(finished(trial.started(bundle)).delete(), "delete")
    lost = [str(each_one) for each_one in before if not each_one.exists()]
    expect(not lost, "delete removes files of the bundle, or of a folder that was bound", seen=lost)


@case("RT-008")
def a_relative_bundle(trial: Trial) -> None:
    """the state names the absolute path of a bundle that was given by a relative one"""
    made = trial.container(trial.config(["wait"]))
    relative = os.path.relpath(made.bundle.path)
    values = {"id": made.ident, "bundle": relative, "pid_file": str(made.pid_file)}
    call = trial.runtime.call(trial.runtime.command("create", values), trial.new_file("create"))
    ok(call, "create with a relative path of the bundle")
    expect_equal(made.state().get("bundle"), str(made.bundle.path), "the bundle in the state")
