"""`usage`: the numbers of `events`, for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from process.box import one_sentence
from process.events import ALL, MIB, running, stats
from support.bundle import default_config, with_shell

from ocirun.commands import usage

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 << 19, "1.5 MiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_size(number: int, text: str) -> None:
    assert usage.size(number) == text


def test_numbers(box: Box) -> None:
    running(box, **ALL)
    before = stats(box)
    (row,) = json.loads(box.runtime.call("usage", "--format", "json", box.ident).ok().out)
    after = stats(box)
    assert (row["id"], row["status"], row["memoryLimit"]) == (box.ident, "running", 64 * MIB)
    assert row["pids"] == before["pids"]["current"] == after["pids"]["current"]
    assert before["cpu"]["usage"]["total"] <= row["cpuTime"] <= after["cpu"]["usage"]["total"]
    heading, line = box.runtime.call("usage", box.ident).ok().out.splitlines()
    assert heading.split()[:4] == ["ID", "STATUS", "PROCESSES", "MEMORY"]
    assert f"{box.ident}  running" in line
    assert " / 64.0 MiB " in line


def test_all_that_run(box: Box) -> None:
    """What has ended has no row, and is an error where it was named."""
    running(box)
    ended = box.name("ended")
    box.runtime.run(ended, box.write(with_shell(default_config(), "exit 0")), "--keep").ok()
    rows: list[dict[str, Any]] = json.loads(box.runtime.call("usage", "--format", "json").ok().out)
    assert [row["id"] for row in rows] == [box.ident]
    assert "container not running: it is stopped" in one_sentence(box.runtime.call("usage", ended).expect(1))
    box.runtime.delete(ended).ok()


def test_a_paused_one(box: Box) -> None:
    running(box)
    box.runtime.call("pause", box.ident).ok()
    assert f"{box.ident}  paused" in box.runtime.call("usage").ok().out
    box.runtime.call("resume", box.ident).ok()


def test_format(box: Box) -> None:
    assert "--format takes table or json" in one_sentence(box.runtime.call("usage", "--format", "xml").expect(1))
