"""`kill --regex` and `delete --regex`: several containers at once, as with crun."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_shell
from support.runtime import wait_for

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.fixture
def three(box: Box) -> tuple[str, str, str]:
    """Ids of two containers that belong together and of another one; all sleep."""
    bundle = box.write(with_shell(default_config(), "trap 'exit 0' TERM; while :; do sleep 0.05; done"))
    names = box.name("web"), box.name("web"), box.name("data")
    for name in names:
        box.runtime.run(name, bundle, "--detach").ok()
    return names


def test_those_that_match(box: Box, three: tuple[str, str, str]) -> None:
    one, two, other = three
    box.runtime.call("kill", "--regex", "^web-", "KILL").ok()
    wait_for(lambda: {box.runtime.status(name) for name in (one, two)} == {"stopped"})
    assert box.runtime.status(other) == "running"
    box.runtime.call("delete", "--regex", "web").ok()
    assert [each["id"] for each in box.runtime.list()] == [other]
    box.runtime.call("delete", "--force", "--regex", "a$|^da").ok()
    assert box.runtime.list() == []
    box.runtime.call("delete", "--force", "--regex", ".*").ok()


def test_one_that_fails_keeps_no_other_waiting(box: Box, three: tuple[str, str, str]) -> None:
    one, two, other = three
    box.runtime.call("kill", other, "KILL").ok()
    wait_for(lambda: box.runtime.status(other) == "stopped")
    done = box.runtime.call("delete", "--regex", ".").expect(1)
    lines = {line for line in done.err.splitlines() if not line.startswith("hint: ")}
    assert lines == {f"ocirun delete {name}: the container is not stopped: running" for name in (one, two)}
    assert {each["id"] for each in box.runtime.list()} == {one, two}


def test_no_regular_expression(box: Box) -> None:
    for command in ("kill", "delete"):
        assert "'(' is no regular expression" in one_sentence(box.runtime.call(command, "--regex", "(").expect(1))
