"""The runtime's own environment: it steers neither the interpreter nor the container's program."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from security.box import Box, plain_config
from support.bundle import with_hook

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.security, pytest.mark.privileged]

PLAIN = "PATH=/bin:/usr/bin:/sbin:/usr/sbin\nTERM=xterm\nHOME=/root\n"


def hostile(folder: Path) -> dict[str, str]:
    """Variables that change an interpreter or the dynamic loader; `folder` holds hostile modules."""
    return {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONHOME": str(folder),
        "PYTHONSTARTUP": str(folder / "site.py"),
        "PYTHONINSPECT": "1",
        "PYTHONVERBOSE": "1",
        "PYTHONDEBUG": "3",
        "PYTHONWARNINGS": "error",
        "PYTHONBREAKPOINT": "site.run",
        "PYTHONIOENCODING": "utf-16",
        "PYTHONMALLOC": "debug",
        "PYTHONPROFILEIMPORTTIME": "1",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONTRACEMALLOC": "25",
        "PYTHONPLATLIBDIR": str(folder),
        "PYTHONCASEOK": "1",
        "PYTHONUTF8": "0",
        "LD_LIBRARY_PATH": str(folder),
        "LD_PRELOAD": "libm.so.6",
        "LC_ALL": "tr_TR.ISO-8859-9",
        "LANG": "ja_JP.SJIS",
        "LOCPATH": str(folder),
        "OCIRUN_SECRET": "of the host",
    }


@pytest.fixture
def modules(box: Box) -> Path:
    """A folder of modules that leave a mark when they are imported."""
    folder = box.base / "modules"
    for name in ("site.py", "os.py", "encodings/__init__.py", "codecs.py", "sitecustomize.py", "_json.py", "json.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(box.base / 'imported')!r}, 'w').close()\n")
    return folder


def test_the_environment_reaches_neither_interpreter_nor_program(box: Box, modules: Path) -> None:
    bundle = box.write(plain_config("env"))
    done = box.raw(*box.command("run", "--bundle", str(bundle), box.ident), env=hostile(modules)).ok()
    assert sorted(done.out.splitlines()) == sorted(PLAIN.splitlines())
    assert done.err == ""
    assert not (box.base / "imported").exists()


def test_the_environment_does_not_reach_an_executed_program(box: Box, modules: Path) -> None:
    box.runtime.run(box.ident, box.write(plain_config("sleep", "60")), "--detach").ok()
    done = box.raw(*box.command("exec", box.ident, "env"), env=hostile(modules)).ok()
    assert sorted(done.out.splitlines()) == sorted(PLAIN.splitlines())
    assert done.err == ""
    assert not (box.base / "imported").exists()


def test_the_environment_does_not_reach_hooks_of_the_container(box: Box, modules: Path) -> None:
    config = with_hook(plain_config("cat", "/tmp/hook"), "startContainer", "/bin/sh", "-c", "env > /tmp/hook")
    bundle = box.write(config)
    done = box.raw(*box.command("run", "--bundle", str(bundle), box.ident), env=hostile(modules)).ok()
    # What is left is what the shell itself sets.
    assert {line.partition("=")[0] for line in done.out.splitlines()} <= {"PATH", "PWD", "SHLVL", "_"}


def test_a_failure_is_said_in_the_same_words_in_every_locale(box: Box, modules: Path) -> None:
    bundle = box.write(plain_config("/no/such/program"))
    command = box.command("run", "--bundle", str(bundle), box.ident)
    plain = box.raw(*command).expect(1).err
    assert "no such file or directory" in plain
    assert box.raw(*command, env=hostile(modules)).expect(1).err == plain
