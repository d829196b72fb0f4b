"""SCMP_ACT_NOTIFY and the container process state: config-linux.md, Seccomp and The Container Process State."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

from ocirun_conformance import claims
from ocirun_conformance.calls import allowing, number, rule
from ocirun_conformance.case import Fails, case, each, expect, expect_equal, row
from ocirun_conformance.inbox import Agent

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.inbox import Connection
    from ocirun_conformance.trial import Container, Trial

NOTIFY = "SCMP_ACT_NOTIFY"


def notifying(trial: Trial, path: object, **members: Any) -> Config:
    """A program that makes a call of which the listener is notified, and then waits."""
    claims.must_claim(trial, NOTIFY, "linux/seccomp/actions")
    if claims.claimed(trial, "linux/seccomp/actions") is None:
        claims.must_know(trial, "1.1.0", "listenerPath")
    config = trial.config(["syscall", number("getegid")], ["wait"])
    config["linux"]["seccomp"] = allowing(rule(NOTIFY, "getegid"), listenerPath=str(path), **members)
    return config


def told(trial: Trial, *, error: int = errno.EMLINK, **members: Any) -> tuple[Container, Connection, Agent]:
    """A container that runs, what came through the first connection until its end, and the agent."""
    agent = Agent(trial, error)
    made = trial.started(notifying(trial, agent.inbox.path, **members))
    made.await_lines(2)
    return made, agent.inbox.wait(), agent


def document(found: Connection) -> dict[str, Any]:
    """The one JSON document that came; fails for anything else."""
    try:
        state: Any = json.loads(found.data)
    except ValueError:
        raise Fails("what came through the connection is not one JSON document", seen=found.data[-2000:]) from None
    expect(isinstance(state, dict), "what came through the connection is no JSON object", seen=state)
    return dict(state)


@case("LNX-107", "LNX-110", "LNX-111", "LNX-112")
def the_process_state(trial: Trial) -> None:
    """the state has a version, the process's pid, and the state of its container"""
    made, found, _agent = told(trial)
    state = document(found)
    expect(isinstance(state.get("ociVersion"), str), "the process state has no ociVersion", seen=state)
    expect_equal(state.get("pid"), made.pid, "the pid of the process state")
    inner = state.get("state")
    expect(isinstance(inner, dict), "the process state has no state of the container", seen=state)
    known = {name: state["state"].get(name) for name in ("id", "bundle")}
    expect_equal(known, {"id": made.ident, "bundle": str(made.bundle.path)}, "the container's state")
    expect(isinstance(state["state"].get("status"), str), "the container's state has no status", seen=state)


@each(row("short", "LNX-098 LNX-108 LNX-109", 10), row("long", "LNX-098 LNX-108 LNX-109", 600_000))
def the_descriptor(trial: Trial, size: int) -> None:
    """the descriptor of seccomp comes with the first bytes, and its name in fds; with {0} bytes of metadata"""
    _made, found, _agent = told(trial, listenerMetadata="m" * size)
    names = document(found).get("fds")
    expect(names and "seccompFd" in names, "fds does not name seccompFd", expected=["seccompFd"], seen=names)
    expect_equal(len(found.descriptors), len(names or ()), "the number of descriptors")
    expect_equal([place for place, _fd in found.descriptors], [0] * len(names or ()), "where the descriptors came")
    fd = found.descriptors[(names or []).index("seccompFd")][1]
    expect_equal(os.readlink(f"/proc/self/fd/{fd}"), "anon_inode:seccomp notify", "the descriptor that is seccompFd")


@case("LNX-094", "LNX-096")
def one_state_and_the_end(trial: Trial) -> None:
    """a connection carries one state and is closed then, while the program runs"""
    made, found, agent = told(trial)
    document(found)
    expect_equal(made.status, "running", "the status")
    expect_equal(len(agent.inbox.connections), 1, "the number of connections for one process")


@case("LNX-094", "LNX-095")
def a_connection_for_each_state(trial: Trial) -> None:
    """the states of two containers come through two connections"""
    agent = Agent(trial, errno.EMLINK)
    made = [trial.started(notifying(trial, agent.inbox.path)) for _ in range(2)]
    for each_one in made:
        each_one.await_lines(2)
    states = [document(agent.inbox.wait(count)) for count in (1, 2)]
    expect_equal([state["pid"] for state in states], [each_one.pid for each_one in made], "the pids of both states")


@each(row("none", "RT-039", None), row("some", "RT-039", 'MKNOD=/dev/null; "ü"'))
def metadata(trial: Trial, text: str | None) -> None:
    """listenerMetadata comes as metadata, as it is: {0}"""
    members: dict[str, Any] = {} if text is None else {"listenerMetadata": text}
    _made, found, _agent = told(trial, **members)
    expect_equal(document(found).get("metadata") or None, text, "the metadata")


@each(row("an errno", "RT-039", errno.EMLINK, "EMLINK"), row("go on", "RT-039", 0, None))
def the_answer(trial: Trial, number_: int, expected: str | None) -> None:
    """the call ends as the listener answers: {1}"""
    made, _found, agent = told(trial, error=number_)
    expect_equal(made.report[0]["error"], expected, "the error of the call")
    expect_equal(agent.seen.count(number("getegid")), 1, "how often the listener was notified")


@case("RT-039")
def a_path_without_need(trial: Trial) -> None:
    """without SCMP_ACT_NOTIFY the listenerPath is ignored"""
    config = notifying(trial, "/no/such/socket")
    config["linux"]["seccomp"]["syscalls"] = [rule("SCMP_ACT_ERRNO", "getegid")]
    expect_equal(trial.started(config).await_lines(2)[0]["error"], "EPERM", "the error of the call")


@each(row("missing", "LNX-097", "does not exist"), row("file", "LNX-097", "is a file"))
def a_state_that_cannot_be_sent(trial: Trial, what: str) -> None:
    """a listenerPath that {0} is an error, and the program does not run"""
    path = trial.path / "none"
    if what == "is a file":
        path.touch()
    config = notifying(trial, path)
    trial.refused_at_last(config, f"a listenerPath that {what}")
    expect_equal(trial.containers[-1].output, "", "what the program wrote")
