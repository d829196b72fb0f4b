"""ExecSync through containerd's CRI plugin: what probes and lifecycle hooks of Kubernetes use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.command import wait_for
from support.cri import CriError

if TYPE_CHECKING:
    from support.pods import Pods

pytestmark = pytest.mark.engines

AT_ONCE = 20


def test_output_and_errors_are_apart(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    done = pods.exec(container, "sh", "-c", "echo out; echo err >&2")
    assert (done["stdout"], done["stderr"], done["exit_code"]) == ("out\n", "err\n", 0)


@pytest.mark.parametrize("code", [0, 1, 255])
def test_exit_codes(pods: Pods, code: int) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    assert pods.exec(container, "sh", "-c", f"exit {code}")["exit_code"] == code


def test_missing_program_is_named(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    with pytest.raises(CriError, match="executable file not found in"):
        pods.exec(container, "no-such-program")
    assert pods.status(container)["state"] == "CONTAINER_RUNNING"


def test_program_is_killed_at_its_timeout(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    with pytest.raises(CriError, match="timeout 1s exceeded") as refused:
        pods.exec(container, "sleep", "900", timeout=1)
    assert refused.value.code == "DEADLINE_EXCEEDED"
    wait_for(lambda: "sleep 900" not in pods.shell(container, "ps -o args"), what="the end of the program")


def test_stopped_container_is_refused(pods: Pods) -> None:
    container = pods.run(pods.pod(), "true")
    pods.ended(container)
    with pytest.raises(CriError, match="CONTAINER_EXITED"):
        pods.exec(container, "true")


def test_many_at_once(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(lambda number: pods.exec(container, "echo", str(number)), range(AT_ONCE)))
    assert [each["stdout"] for each in done] == [f"{number}\n" for number in range(AT_ONCE)]


def test_user_and_groups_are_those_of_the_container(pods: Pods) -> None:
    security = {"run_as_user": {"value": 1000}, "run_as_group": {"value": 1001}, "supplemental_groups": [7, 8]}
    container = pods.run(pods.pod(), "sleep", "600", security=security)
    assert pods.shell(container, "id -u; id -g; id -G").split("\n")[:3] == ["1000", "1001", "1001 7 8"]
