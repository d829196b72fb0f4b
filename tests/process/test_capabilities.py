"""process.capabilities in /proc/self/status of the program, and the warnings about what cannot be had (config.md)."""

from __future__ import annotations

import os
import shutil
import struct
from typing import TYPE_CHECKING

import pytest
from process.box import changed, status_lines
from support import facility
from support.bundle import default_config, with_capabilities, with_user_namespace
from support.command import run_command
from support.facility import find_program, requires

from ocirun_spec.names import CAPABILITIES

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged]

SETS = {
    "bounding": "CapBnd",
    "permitted": "CapPrm",
    "effective": "CapEff",
    "inheritable": "CapInh",
    "ambient": "CapAmb",
}
NOTHING = dict.fromkeys(SETS, 0)


def asking(sets: dict[str, list[str]], uid: int = 1000) -> Config:
    """A user other than root, whose sets execve(2) leaves as they are."""
    config = changed(default_config("cat", "/proc/self/status"), "/process/capabilities", sets)
    config["process"]["user"] = {"uid": uid, "gid": uid}
    return config


def seen(text: str) -> dict[str, int]:
    status = status_lines(text)
    return {name: int(status[field], 16) for name, field in SETS.items()}


def warnings(result: Result) -> list[str]:
    return [line["msg"] for line in result.log if line["level"] == "warning"]


@requires(facility.user_namespace)
@pytest.mark.parametrize("name", CAPABILITIES)
def test_each_capability_in_every_set(box: Box, name: str) -> None:
    """In a user namespace, where each is to be had."""
    result = box.run(with_user_namespace(asking({kind: [name] for kind in SETS}))).ok()
    assert seen(result.out) == dict.fromkeys(SETS, 1 << CAPABILITIES[name])
    assert warnings(result) == []


KILL, CHOWN, SETUID = (1 << CAPABILITIES[name] for name in ("CAP_KILL", "CAP_CHOWN", "CAP_SETUID"))
COMBINATIONS: list[tuple[list[str], int, dict[str, int]]] = [
    # the sets that have CAP_KILL, the user, the sets that have it after execve(2) (capabilities(7))
    (["bounding"], 1000, {"bounding": KILL}),
    (["bounding", "permitted", "effective"], 1000, {"bounding": KILL}),
    (["bounding", "inheritable"], 1000, {"bounding": KILL, "inheritable": KILL}),
    (["bounding", "permitted", "inheritable"], 1000, {"bounding": KILL, "inheritable": KILL}),
    (["bounding"], 0, {"bounding": KILL}),
    (["bounding", "permitted", "effective"], 0, {"bounding": KILL, "permitted": KILL, "effective": KILL}),
    (["permitted", "effective"], 0, {}),
    (list(SETS), 0, dict.fromkeys(SETS, KILL)),
    ([], 0, {}),
]


@pytest.mark.parametrize(("sets", "uid", "expected"), COMBINATIONS)
def test_the_sets_are_apart(box: Box, sets: list[str], uid: int, expected: dict[str, int]) -> None:
    result = box.run(asking({kind: ["CAP_KILL"] for kind in sets}, uid)).ok()
    assert seen(result.out) == NOTHING | expected
    assert warnings(result) == []


@pytest.mark.parametrize(("sets", "uid", "expected"), COMBINATIONS)
def test_the_sets_of_exec_are_apart(box: Box, sets: list[str], uid: int, expected: dict[str, int]) -> None:
    box.start_sleeper()
    process = asking({kind: ["CAP_KILL"] for kind in sets}, uid)["process"]
    assert seen(box.runtime.exec_process(box.ident, process).ok().out) == NOTHING | expected


def test_they_are_rights(box: Box) -> None:
    script = "touch /tmp/mine; chown 5 /tmp/mine && echo given"
    for names, out in ((["CAP_CHOWN"], "given\n"), ([], "")):
        config = with_capabilities(default_config("sh", "-c", script), names)
        assert box.run(config).out == out


@pytest.mark.parametrize("kind", SETS)
def test_an_unknown_one_in_any_set_is_a_warning(box: Box, kind: str) -> None:
    sets = {name: ["CAP_KILL"] for name in SETS}
    sets[kind] = ["CAP_MAGIC", "CAP_KILL", "kill", "CAP_kill"]
    result = box.run(asking(sets)).ok()
    assert seen(result.out) == dict.fromkeys(SETS, KILL)
    (text,) = warnings(result)
    assert "/process/capabilities: " in text
    assert text.endswith(": CAP_MAGIC, CAP_kill, kill; did you mean CAP_KILL?")


UNGRANTABLE: list[tuple[dict[str, list[str]], str, str, dict[str, int]]] = [
    # the sets, the one in the warning, the one it has to be within, what the program has
    ({"ambient": ["CAP_KILL"]}, "ambient", "permitted", {}),
    (
        {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "ambient": ["CAP_KILL"]},
        "ambient",
        "inheritable",
        {"bounding": KILL},
    ),
    ({"inheritable": ["CAP_KILL"]}, "inheritable", "bounding", {}),
    ({"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"]}, "effective", "permitted", {"bounding": KILL}),
]


@pytest.mark.parametrize(("sets", "kind", "within", "expected"), UNGRANTABLE)
def test_what_the_other_sets_forbid_is_a_warning(
    box: Box, sets: dict[str, list[str]], kind: str, within: str, expected: dict[str, int]
) -> None:
    """The kernel would refuse it (capabilities(7)); the container runs without it."""
    result = box.run(asking(sets)).ok()
    assert seen(result.out) == NOTHING | expected
    assert warnings(result) == [f"/process/capabilities/{kind}: ignoring what is not in {within}: CAP_KILL"]


def test_and_of_exec_too(box: Box) -> None:
    box.start_sleeper()
    process = asking({"bounding": ["CAP_MAGIC", "CAP_CHOWN"], "inheritable": ["CAP_SETUID"]})["process"]
    result = box.runtime.exec_process(box.ident, process).ok()
    assert seen(result.out) == NOTHING | {"bounding": CHOWN}
    unknown, outside = warnings(result)
    assert unknown.endswith(": CAP_MAGIC")
    assert outside.endswith("inheritable: ignoring what is not in bounding: CAP_SETUID")


@pytest.mark.parametrize("userns", [False, True], ids=["host", "userns"])
def test_one_that_the_runtime_has_not_itself(box: Box, userns: bool) -> None:
    """It is a warning and not an error; in a user namespace of its own the container has it all the same."""
    config = asking({kind: ["CAP_NET_RAW", "CAP_KILL"] for kind in SETS})
    if userns:
        facility.need(facility.user_namespace)
        with_user_namespace(config)
    words = ["--root", str(box.runtime.root), "run", "--bundle", str(box.write(config)), box.ident]
    program = find_program("setpriv")
    assert program
    head = [program, "--bounding-set=-net_raw", "--inh-caps=-net_raw", str(box.runtime.path)]
    done = run_command([*head, *words], box.directory / "out").ok()
    assert seen(done.out) == dict.fromkeys(SETS, KILL | (1 << CAPABILITIES["CAP_NET_RAW"] if userns else 0))
    assert ("ignoring unknown or unavailable capabilities: CAP_NET_RAW" in done.err) == (not userns)


def with_file_capabilities(box: Box) -> str:
    """A program of the image that brings CAP_KILL along (capabilities(7), struct vfs_cap_data)."""
    path = box.rootfs / "opt" / "cat"
    path.parent.mkdir()
    shutil.copy(box.rootfs / "bin" / "busybox", path)
    revision_2, effective = 0x02000000, 0x000001
    os.setxattr(path, "security.capability", struct.pack("<IIIII", revision_2 | effective, KILL, 0, 0, 0))
    return "/opt/cat"


@pytest.mark.parametrize("value", [True, False, None])
def test_no_new_privileges_is_what_it_says(box: Box, value: bool | None) -> None:
    """Executing a file that has capabilities gives none, at once and to whatever comes later."""
    program = with_file_capabilities(box)
    config = asking({"bounding": ["CAP_KILL"]})
    config["process"]["args"] = ["sh", "-c", f"cat /proc/self/status; {program} /proc/self/status"]
    config["process"]["noNewPrivileges"] = value
    if value is None:
        del config["process"]["noNewPrivileges"]
    before, after = box.run(config).ok().out.split("Name:")[1:]
    assert seen(before)["effective"] == 0
    assert seen(after)["effective"] == (0 if value else KILL)
    box.start_sleeper()
    process = config["process"] | {"args": [program, "/proc/self/status"]}
    assert seen(box.runtime.exec_process(box.ident, process).ok().out)["effective"] == (0 if value else KILL)


@pytest.mark.parametrize("value", [True, False])
def test_no_new_privileges_of_exec(box: Box, value: bool) -> None:
    box.start_sleeper(changed(default_config(), "/process/noNewPrivileges", not value))
    process = default_config("cat", "/proc/self/status")["process"] | {"noNewPrivileges": value}
    assert status_lines(box.runtime.exec_process(box.ident, process).ok().out)["NoNewPrivs"] == str(int(value))
