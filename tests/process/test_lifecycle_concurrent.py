"""Commands at the same time: exactly one wins, the others say why, and the state is never half."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support.bundle import default_config, with_hook, with_shell
from support.runtime import process_alive, wait_for

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

MANY = 8


def test_one_of_many_creates_wins(box: Box) -> None:
    box.write(default_config("sleep", "1000"))
    before = box.snapshot()
    results = box.calls([["create", "--bundle", str(box.bundle), box.ident]] * MANY)
    assert sorted(result.code for result in results) == [0] + [1] * (MANY - 1)
    for result in results:
        if result.code:
            assert "already in use" in one_sentence(result)
    assert box.runtime.status(box.ident) == "created"
    box.runtime.delete(box.ident, force=True).ok()
    before.assert_unchanged()


def test_one_of_many_starts_wins(box: Box) -> None:
    box.create(with_shell(box.with_shared(default_config()), "echo >> /shared/ran; exec sleep 1000")).ok()
    results = box.calls([["start", box.ident]] * MANY)
    assert sorted(result.code for result in results) == [0] + [1] * (MANY - 1)
    wait_for((box.shared / "ran").exists)
    assert box.runtime.status(box.ident) == "running"
    assert (box.shared / "ran").read_text() == "\n"


def test_one_of_many_deletes_wins(box: Box) -> None:
    stopped = box.shared / "poststop"
    config = with_hook(default_config("true"), "poststop", "/bin/sh", "-c", f"echo >> {stopped}")
    box.create(config).ok()
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    results = box.calls([["delete", box.ident]] * MANY)
    assert sorted(result.code for result in results) == [0] + [1] * (MANY - 1)
    for result in results:
        if result.code:
            assert "container does not exist" in one_sentence(result)
    assert stopped.read_text() == "\n"
    assert box.runtime.list() == []


def test_forced_deletes_all_succeed(box: Box) -> None:
    pid = box.start_sleeper()
    for result in box.calls([["delete", "--force", box.ident]] * MANY):
        result.ok()
    assert not process_alive(pid)
    assert box.runtime.list() == []


def test_containers_run_side_by_side(box: Box) -> None:
    box.write(with_shell(default_config(), "cat /proc/sys/kernel/hostname"))
    names = [box.name("side") for _ in range(MANY)]
    results = box.calls([["run", "--bundle", str(box.bundle), name] for name in names])
    assert [(result.code, result.out) for result in results] == [(0, "unit\n")] * MANY
    assert box.runtime.list() == []


def test_readers_during_a_life_see_whole_records(box: Box) -> None:
    box.write(default_config("sleep", "1000"))
    box.create(default_config("sleep", "1000")).ok()
    lines = [["state", box.ident], ["list"], ["start", box.ident], ["state", box.ident], ["list", "--format", "json"]]
    lines += [["ps", box.ident], ["state", box.ident], ["kill", box.ident, "KILL"], ["state", box.ident]]
    for result in box.calls(lines):
        assert result.code == 0 or "start" in result.argv, result.details()
    box.runtime.wait_status(box.ident, "stopped")


def test_kill_and_delete_race_with_start(box: Box) -> None:
    """Whoever comes first: afterwards the container is gone, with all that belonged to it."""
    box.write(default_config("sleep", "1000"))
    before = box.snapshot()
    for _ in range(5):
        box.runtime.create(box.ident, box.bundle).ok()
        box.calls([["start", box.ident], ["kill", box.ident, "KILL"], ["delete", "--force", box.ident]])
        box.runtime.delete(box.ident, force=True).ok()
        before.assert_unchanged()


def test_exec_races_with_the_end(box: Box) -> None:
    """Each exec either runs or says that the container does not run, and none is left behind."""
    box.write(default_config())
    before = box.snapshot()
    box.start_sleeper()
    lines = [["exec", box.ident, "true"]] * (MANY - 1)
    *execs, deleted = box.calls([*lines, ["delete", "--force", box.ident]])
    deleted.ok()
    for result in execs:
        assert result.code in (0, 137, 255), result.details()
        if result.code == 255:
            assert "internal error" not in one_sentence(result)
    before.assert_unchanged()


def test_exec_after_delete_has_begun(box: Box) -> None:
    """The moment of the race above at which the record is read already and the configuration is gone."""
    box.start_sleeper()
    (box.runtime.root / box.ident / "config.json").unlink()
    assert "container not running" in one_sentence(box.exec("true").expect(255))


def test_one_of_many_runs_wins(box: Box) -> None:
    box.write(with_shell(box.with_shared(default_config()), "echo >> /shared/ran; exec sleep 1000"))
    results = box.calls([["run", "--detach", "--bundle", str(box.bundle), box.ident]] * MANY)
    assert sorted(result.code for result in results) == [0] + [1] * (MANY - 1)
    wait_for((box.shared / "ran").exists)
    assert (box.shared / "ran").read_text() == "\n"
