"""linux.resources.memory on cgroup v1: each member as the container reads it in its own cgroup, and what it does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.limits import MIB, TOP, WAITS, controller, limited, needs_file, refusal, seen
from support.bundle import Config, with_shell
from support.facility import need, requires
from support.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

UNLIMITED = str((1 << 63) - 4096)
SWAP_FILE = "memory/memory.memsw.limit_in_bytes"
TCP_FILE = "memory/memory.kmem.tcp.limit_in_bytes"
GREEDY = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")


@pytest.fixture(autouse=True)
def _memory() -> None:
    need(lambda: controller("memory"))


LIMITS: list[tuple[dict[str, Any], str, str]] = [
    ({"limit": 64 * MIB}, "memory/memory.limit_in_bytes", str(64 * MIB)),
    ({"limit": -1}, "memory/memory.limit_in_bytes", UNLIMITED),
    ({"limit": 64 * MIB, "reservation": 32 * MIB}, "memory/memory.soft_limit_in_bytes", str(32 * MIB)),
    ({"reservation": -1}, "memory/memory.soft_limit_in_bytes", UNLIMITED),
    ({"limit": 64 * MIB, "swap": 96 * MIB}, SWAP_FILE, str(96 * MIB)),
    ({"limit": 64 * MIB, "swap": -1}, SWAP_FILE, UNLIMITED),
    ({"kernelTCP": 8 * MIB}, TCP_FILE, str(8 * MIB)),
    ({"kernelTCP": -1}, TCP_FILE, UNLIMITED),
    ({"swappiness": 33}, "memory/memory.swappiness", "33"),
    ({"swappiness": 0}, "memory/memory.swappiness", "0"),
]


@pytest.mark.parametrize(("memory", "file", "value"), LIMITS, ids=[json.dumps(each[0]) for each in LIMITS])
def test_a_limit_is_in_the_container_s_cgroup(box: Box, memory: dict[str, Any], file: str, value: str) -> None:
    need(lambda: needs_file(file))
    assert seen(box, {"memory": memory}, file) == {file: value}


def test_without_the_oom_killer_the_program_waits_for_memory(box: Box) -> None:
    memory = {"limit": 24 * MIB, "swap": 24 * MIB, "disableOOMKiller": True}
    box.run(with_shell(limited(box, {"memory": memory}), WAITS), "--detach").ok()
    control = TOP / "memory" / box.ident / "memory.oom_control"
    wait_for(lambda: "under_oom 1" in control.read_text(), what="the program to need too much")
    text = control.read_text()
    assert "oom_kill_disable 1" in text
    assert "oom_kill 0" in text
    assert box.runtime.status(box.ident) == "running"
    box.runtime.delete(box.ident, force=True).ok()


def test_the_oom_killer_is_there_when_it_is_not_disabled(box: Box) -> None:
    file = "memory/memory.oom_control"
    assert "oom_kill_disable 0" in seen(box, {"memory": {"disableOOMKiller": False}}, file)[file]


def test_the_oom_killer_comes_back_in_a_cgroup_that_was_there(box: Box) -> None:
    group = TOP / "memory" / box.ident
    group.mkdir()
    try:
        (group / "memory.oom_control").write_text("1")
        box.shell("true", limited(box, {"memory": {"limit": 64 * MIB, "disableOOMKiller": False}}))
        assert "oom_kill_disable 0" in (group / "memory.oom_control").read_text()
    finally:
        box.runtime.remove_all()
        group.rmdir()


def writable(config: Config) -> Config:
    """With a cgroup mount that the program may write to."""
    for mount in config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"].remove("ro")
    return config


def test_use_hierarchy_gives_children_the_same_limit(box: Box) -> None:
    """The program makes a cgroup below its own and takes too much there."""
    memory = {"limit": 24 * MIB, "swap": 24 * MIB, "useHierarchy": True}
    below = "/sys/fs/cgroup/memory/below"
    script = f"mkdir {below}; (echo 0 > {below}/cgroup.procs; exec {' '.join(GREEDY)}); echo $?"
    assert box.shell(script, writable(limited(box, {"memory": memory}))) == "137\n"


def test_a_kernel_that_only_accounts_hierarchically_refuses_another_way(box: Box) -> None:
    file = TOP / "memory/memory.use_hierarchy"
    if file.exists() and file.read_text().strip() == "0":
        pytest.skip("not this lane: a kernel before 5.11, which has the choice")
    assert "/linux/resources/memory/useHierarchy: " in refusal(box, {"memory": {"useHierarchy": False}})


def test_a_kernel_without_a_limit_of_kernel_memory_refuses_it(box: Box) -> None:
    """Since 5.16 the file takes a number and does nothing: read back, it shows that there is no limit."""
    sentence = refusal(box, {"memory": {"kernel": 8 * MIB}})
    assert "/linux/resources/memory/kernel: this kernel takes 8388608 for memory.kmem.limit_in_bytes" in sentence
    assert "does not apply it" in sentence


def test_no_limit_of_kernel_memory_is_what_there_is(box: Box) -> None:
    """As engines write it."""
    box.shell("true", limited(box, {"memory": {"kernel": -1, "kernelTCP": -1}}))


@pytest.mark.parametrize(
    ("memory", "where"),
    [
        ({"swap": 64 * MIB}, "/linux/resources/memory/swap"),
        ({"limit": 64 * MIB, "swap": 32 * MIB}, "/linux/resources/memory/swap"),
        ({"swappiness": 101}, "/linux/resources/memory/swappiness"),
    ],
)
def test_what_no_kernel_could_apply_is_refused(box: Box, memory: dict[str, Any], where: str) -> None:
    assert where in refusal(box, {"memory": memory})


@pytest.fixture
def used(box: Box) -> Iterator[Path]:
    """A memory cgroup named like the container in which 8 MiB are in use, by a file in memory, and no process is."""
    group = TOP / "memory" / box.ident
    file = Path("/dev/shm", box.ident)
    group.mkdir()
    try:
        script = f"echo $$ > {group}/cgroup.procs && dd if=/dev/zero of={file} bs=1M count=8 2>&1"
        subprocess.run(["sh", "-c", script], check=True, timeout=20, stdout=subprocess.DEVNULL)
        yield group
    finally:
        file.unlink(missing_ok=True)
        box.runtime.remove_all()
        group.rmdir()


@pytest.mark.parametrize("checked", [True, False])
@requires(lambda: "" if Path("/proc/swaps").read_text().count("\n") == 1 else "not this lane: swap takes the memory")
def test_a_limit_below_what_is_used_is_refused(box: Box, used: Path, checked: bool) -> None:
    """checkBeforeUpdate asks for what the kernel does on cgroup v1 anyway."""
    memory = {"limit": 4 * MIB, "swap": 4 * MIB, "checkBeforeUpdate": checked}
    sentence = refusal(box, {"memory": memory})
    assert f"/linux/resources/memory/limit: memory.limit_in_bytes would be {4 * MIB}, which is below" in sentence
    assert int(sentence.partition("the usage of ")[2].split()[0]) >= 8 * MIB
    assert (used / "memory.limit_in_bytes").read_text().strip() == UNLIMITED
    box.shell("true", limited(box, {"memory": {**memory, "limit": 32 * MIB, "swap": 32 * MIB}}))


@pytest.mark.parametrize("disabled", [False, True])
def test_a_limit_too_small_to_start_in_is_said(box: Box, disabled: bool) -> None:
    """Without the OOM killer too: it is disabled when the container is set up, else the set-up would wait for ever."""
    sentence = refusal(box, {"memory": {"limit": 4096, "swap": 4096, "disableOOMKiller": disabled}})
    assert "/linux/resources/memory/limit: the container's first process was killed for want of memory" in sentence
    assert "memory.limit_in_bytes is 4096" in sentence


def test_a_limit_of_the_host_s_is_not_blamed_on_the_configuration(box: Box) -> None:
    """The parent of the container's cgroup has the limit, enough for making the cgroup."""
    above = TOP / "memory" / box.name("above")
    above.mkdir()
    try:
        (above / "memory.limit_in_bytes").write_text(str(MIB // 4))
        config = limited(box, {})
        config["linux"]["cgroupsPath"] = f"/{above.name}/box"
        result = box.run(with_shell(config, "true")).expect(1)
        assert "killed for want of memory" in result.err
        assert "a cgroup above the container's has a memory limit" in result.err
    finally:
        box.runtime.remove_all()
        above.rmdir()
