"""Where a container's processes are, from the first instruction on, and what is charged to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from process.box import one_sentence
from resources.limited import MIB, own_places, rows
from support.bundle import with_args, with_hook, with_shell
from support.runtime import wait_for

if TYPE_CHECKING:
    from resources.limited import LimitedBox


def test_the_program_is_in_its_cgroup_from_its_first_instruction_on(box: LimitedBox) -> None:
    """And a hook that runs in the container before: nothing of it is ever elsewhere."""
    script = f"cat /proc/self/cgroup > {box.shared}/hook"
    config = with_hook(box.seeing({"pids": {"limit": 50}}), "createContainer", "/bin/sh", "-c", script)
    result = box.create(with_args(config, "cat", "/proc/self/cgroup")).ok()
    places = own_places(box.runtime.state(box.ident)["pid"])
    named = rows(places)
    assert {name: str(path).endswith(named[name]) for name, path in box.groups().items()} == dict.fromkeys(
        box.groups(), True
    )
    assert all(box.ident in named[name] for name in box.groups())
    assert (box.shared / "hook").read_text() == places
    box.runtime.start(box.ident).ok()
    wait_for(lambda: result.out.count("\n") >= places.count("\n"), what="the program's own words")
    assert result.out == places


def test_six_mebibytes_are_enough_to_start(box: LimitedBox) -> None:
    box.run(with_args(box.limited({"memory": {"limit": 6 * MIB, "swap": 6 * MIB}}), "/bin/true")).ok()


def test_a_limit_too_small_to_start_in_is_said(box: LimitedBox) -> None:
    result = box.run(with_args(box.limited({"memory": {"limit": 4096, "swap": 4096}}), "/bin/true")).expect(1)
    sentence = one_sentence(result)
    assert "/linux/resources/memory/limit: the container's first process was killed for want of memory" in sentence
    assert "4096" in sentence
    assert "linux.resources.memory" in result.err


def test_the_runtime_s_memory_is_not_the_container_s(box: LimitedBox) -> None:
    """What the set-up needs is charged, from the first page on, and it is little."""
    box.create(with_shell(box.limited({"memory": {"limit": 64 * MIB}}), "exec sleep 1000")).ok()
    assert 0 < box.read("memory usage") < 4 * MIB
