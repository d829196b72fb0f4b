"""`pip install` of this project into an empty virtual environment: the runtime without its launcher, and the suite."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import Box
from process.plain import PLAIN, config_of, plain_box, plain_user_namespace
from support import facility
from support.bundle import REPOSITORY, default_config, with_shell
from support.facility import need
from support.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = [pytest.mark.process, pytest.mark.privileged]

PACKAGES = ("spec/ocirun_spec", "runtime/ocirun", "conformance/ocirun_conformance")
LIBRARIES = REPOSITORY / "build" / "lib" / "ocirun" / "site-packages"
SITE = f"lib/python3.{sys.version_info.minor}/site-packages"


@pytest.fixture(scope="module")
def environment() -> Iterator[Path]:
    """A virtual environment that everybody may use; the libraries are not fetched again, but those of this checkout."""
    need(facility.root, facility.busybox)
    with tempfile.TemporaryDirectory(prefix="ocirun-wheel-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        python = Path(sys.executable).resolve()
        subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
        shutil.copytree(LIBRARIES, folder / SITE, dirs_exist_ok=True)
        (folder / SITE / "suite.pth").write_text(f"{Path(sys.prefix, SITE)}\n")
        argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", f"{name}/bin/python", "install"]
        argv += ["--quiet", "--no-deps", "--no-build-isolation", "--ignore-installed", "--no-compile", str(REPOSITORY)]
        subprocess.run(argv, check=True, timeout=120, capture_output=True)
        yield folder


def test_it_installs_what_git_has(environment: Path) -> None:
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    expected = {line.partition("/")[2] for line in listed.stdout.splitlines()}
    assert {name for name in expected if not (environment / SITE / name).exists()} == set()
    (licence,) = environment.glob(f"{SITE}/ocirun-*.dist-info/licenses/LICENSE")
    assert "Apache License" in licence.read_text()


@pytest.fixture(scope="module", params=["root", "plain"])
def box(request: pytest.FixtureRequest, environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Called by root, and by a plain user, whose box copies what lies beside a program."""
    if request.param == "plain":
        need(plain_user_namespace)
        program = environment / "small" / "bin" / "ocirun"
        program.parent.mkdir(parents=True)
        (program.parent.parent / "lib").mkdir()
        program.write_text(f'#!/bin/sh\nexec {environment}/bin/ocirun "$@"\n')
        program.chmod(0o755)
        with plain_box(program) as box:
            yield box
    else:
        folder = tmp_path_factory.mktemp("wheel")
        with Runtime(environment / "bin" / "ocirun", folder / "root", folder / "calls") as runtime:
            yield Box(runtime, folder)


def test_a_life(box: Box) -> None:
    plain = box.directory.stat().st_uid == PLAIN
    config = config_of(box, "exec sleep 1000") if plain else with_shell(default_config(), "exec sleep 1000")
    box.run(config, "--detach").ok()
    assert box.exec("id -u; exit 7").expect(7).out == "0\n"
    box.runtime.kill_and_delete(box.ident)
    box.run(with_shell(config, "exit 3")).expect(3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--version",), "ocirun version"),
        (("do", "--", "echo", "ran"), "ran"),
        (("features",), '"ociVersionMax"'),
        (("validate", "{bundle}"), "no problems"),
        (("install", "docker", "--dry-run", "--config", "{bundle}/none"), 'bin/ocirun"}'),
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else "",
)
def test_other_commands(box: Box, words: Sequence[str], said: str) -> None:
    if box.directory.stat().st_uid != PLAIN:
        box.write(default_config())
    assert said in box.runtime.call(*(word.format(bundle=box.bundle) for word in words)).ok().out


def test_the_suite(environment: Path) -> None:
    """With the programs that it compiles for its cases."""
    folder = environment / "bin"
    argv = [f"{folder}/ocirun-conformance", "--runtime", f"{folder}/ocirun", "--filter", "process.working_directory"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 fail, 0 not run, 0 error" in done.stdout
