"""What a hot command may load: every module costs time at each of an engine's calls.

`modules.txt` has one module a line, with the commands that load it behind the colon. A module that appears, and one
that is not loaded any more, fail the test; the measured list is left beside the test's files, to be looked at
and copied.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.bundle import BUSYBOX, REPOSITORY, make_rootfs

from ocirun.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = [pytest.mark.budget]

LIST = REPOSITORY / "runtime" / "launcher" / "modules.txt"
HOT = ("create", "run", "start", "exec", "state", "kill", "delete")
FORBIDDEN = {
    "_ctypes", "argparse", "ast", "asyncio", "calendar", "codecs", "collections", "contextlib", "copy", "csv",
    "ctypes", "dataclasses", "datetime", "decimal", "dis", "encodings", "enum", "fnmatch", "functools", "gettext",
    "glob", "hashlib", "importlib", "inspect", "io", "json", "jsonschema", "linecache", "locale", "logging",
    "operator", "pathlib", "pickle", "platform", "prctl", "pwd", "pyseccomp", "random", "re", "selectors", "shlex",
    "shutil", "signal", "site", "socket", "string", "struct", "subprocess", "sysconfig", "tempfile", "textwrap",
    "threading", "tokenize", "traceback", "types", "typing", "urllib", "uuid", "warnings", "weakref", "zipimport",
    "zlib",
}  # fmt: skip

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not this lane: needs root")
needs_busybox = pytest.mark.skipif(not BUSYBOX.exists(), reason="needs the package busybox-static")


class Probe:
    """Runs the program's commands and notes what each of them had loaded at its end."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.loaded: dict[str, set[str]] = {}

    def __call__(self, command: str, *words: str) -> None:
        """One command, which has to succeed."""
        report = self.folder / "modules"
        report.unlink(missing_ok=True)
        with (self.folder / "errors").open("wb") as errors:
            done = subprocess.run(
                [self.program, "--root", self.folder / "state", command, *words],
                cwd=self.folder / "bundle",
                env={"OCIRUN_PROBE": str(report)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                check=False,
                timeout=60,
            )
        assert done.returncode == 0, (command, (self.folder / "errors").read_text())
        self.loaded[command] = set(report.read_text().split("\n"))


def make_bundle(program: Path, folder: Path) -> None:
    """The bundle of `spec`, with what engines ask for beyond that, and a program that waits."""
    bundle = folder / "bundle"
    make_rootfs(bundle / "rootfs")
    subprocess.run([program, "spec"], cwd=bundle, env={"OCIRUN_PROBE": str(folder / "ignored")}, check=True, timeout=60)
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["terminal"] = False
    config["process"]["args"] = ["sleep", "60"]
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    config["linux"]["resources"]["memory"] = {"limit": 1 << 28}
    config["linux"]["resources"]["cpu"] = {"shares": 512}
    (bundle / "config.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, set[str]]]:
    """Modules by hot command, each taken from a second use, when the caches are filled."""
    prefix = tmp_path_factory.mktemp("budget")
    shutil.copytree(REPOSITORY / "build" / "lib", prefix / "lib")
    subprocess.run(
        [REPOSITORY / "dev", "variant", prefix, Path(__file__).with_name("ocirun_probe")],
        check=True,
        env={**os.environ, "SNAPSHOT": "no"},
        stdin=subprocess.DEVNULL,
    )
    probe = Probe(prefix / "bin" / "ocirun", prefix)
    make_bundle(probe.program, prefix)
    for name in ("budget-cold", "budget-warm"):
        try:
            probe("create", name)
            probe("start", name)
            probe("exec", name, "true")
            probe("state", name)
            probe("kill", name, "KILL")
        finally:
            probe("delete", "--force", name)
    config = json.loads((prefix / "bundle" / "config.json").read_text())
    config["process"]["args"] = ["true"]
    (prefix / "bundle" / "config.json").write_text(json.dumps(config))
    for name in ("budget-cold", "budget-warm"):
        probe("run", name)
    yield probe.loaded
    shutil.rmtree(prefix)


def listed() -> dict[str, set[str]]:
    """`modules.txt` as modules by command, and what looks into filesystems of servers where the host has one."""
    table: dict[str, set[str]] = {command: set() for command in HOT}
    for line in LIST.read_text().splitlines():
        module, _, commands = line.partition(":")
        for command in commands.split():
            table[command].add(module)
    for command in ("create", "run") if Facts().distant else ():
        table[command].add("ocirun.apart")
    return table


@needs_root
@needs_busybox
@pytest.mark.privileged
def test_hot_commands_load_what_is_listed(loaded: Mapping[str, set[str]], tmp_path: Path) -> None:
    measured = tmp_path / "modules.txt"
    names = sorted(set().union(*loaded.values()))
    lines = [f"{name}: {' '.join(command for command in HOT if name in loaded[command])}\n" for name in names]
    measured.write_text("".join(lines))
    assert dict(loaded) == listed(), f"the measured list is {measured}"


@needs_root
@needs_busybox
@pytest.mark.privileged
@pytest.mark.parametrize("command", HOT)
def test_hot_commands_load_nothing_forbidden(loaded: Mapping[str, set[str]], command: str) -> None:
    assert loaded[command] & FORBIDDEN == set()


def test_state_opens_nothing_of_python_or_libc(tmp_path: Path) -> None:
    """The launcher is linked statically, and has the modules in it."""
    trace = tmp_path / "trace"
    program = REPOSITORY / "build" / "bin" / "ocirun"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=open,openat", "-o", trace, program, "--root", tmp_path, "state", "none"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "container does not exist" in done.stderr
    opened = [line.split('"')[1] for line in trace.read_text().splitlines() if '"' in line]
    assert set(opened) <= {"/proc/self/exe", f"{tmp_path}/none"}, opened
