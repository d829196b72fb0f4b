"""linux.personality, as the program finds it (config-linux.md, Personality)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from process.box import changed, one_sentence
from support import facility
from support.bundle import default_config, with_shell, with_user_namespace
from support.facility import requires

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

LOOK = "cat /proc/self/personality; echo; uname -m"
PER_LINUX32 = "00000008"


def two_machines() -> str:
    """LINUX32 changes uname(2) where the kernel knows a 32 bit machine of its own kind."""
    known = os.uname().machine in ("x86_64", "aarch64")
    return "" if known else f"not this lane: {os.uname().machine} has no 32 bit name"


@requires(two_machines)
def test_linux32(box: Box) -> None:
    config = changed(default_config(), "/linux/personality", {"domain": "LINUX32"})
    number, machine = box.shell(LOOK, config).split()
    assert number == PER_LINUX32
    assert machine != os.uname().machine
    assert machine in ("i686", "armv8l")


@requires(facility.user_namespace)
def test_linux32_in_a_user_namespace(box: Box) -> None:
    config = with_user_namespace(changed(default_config(), "/linux/personality", {"domain": "LINUX32"}))
    assert box.shell(LOOK, config).split()[0] == PER_LINUX32


def test_linux_takes_back_what_the_runtime_runs_with(box: Box) -> None:
    box.runtime.path, real = box.directory / "as32", box.runtime.path
    box.runtime.path.write_text(f'#!/bin/sh\nexec setarch linux32 {real} "$@"\n')
    box.runtime.path.chmod(0o755)
    assert box.shell(LOOK, default_config()).split()[0] == PER_LINUX32
    box.ident = box.name("second")
    config = changed(default_config(), "/linux/personality", {"domain": "LINUX"})
    assert box.shell(LOOK, config).split() == ["00000000", os.uname().machine]


def test_exec_has_it_too(box: Box) -> None:
    box.start_sleeper(changed(default_config(), "/linux/personality", {"domain": "LINUX32"}))
    assert box.exec(LOOK).ok().out.split()[0] == PER_LINUX32


@pytest.mark.parametrize(
    ("personality", "where", "words"),
    [
        ({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}, "/flags/0", "no personality flags"),
        ({"domain": "BSD"}, "/domain", "BSD"),
        ({}, "/domain", "missing"),
    ],
)
def test_what_is_refused(box: Box, personality: dict[str, object], where: str, words: str) -> None:
    box.write(with_shell(changed(default_config(), "/linux/personality", personality), LOOK))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert f": /linux/personality{where}: " in sentence
    assert words in sentence
    before.assert_unchanged()
