"""What the launcher cannot do without a library, and so leaves to its companion."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import REPOSITORY, default_config, with_args, write_bundle
from support.facility import requires

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.privileged]

PROGRAM = REPOSITORY / "build" / "bin" / "ocirun"


@requires(facility.root, facility.strace)
def test_it_runs_from_a_read_only_mount_too(tmp_path: Path) -> None:
    """bin/ocirun executes the launcher, and the launcher its companion, each from a mount of that one file."""
    trace = tmp_path / "trace"
    calls = "trace=execve,execveat,open_tree,mount_setattr"
    done = subprocess.run(
        ["strace", "-qq", "-e", calls, "-o", trace, PROGRAM, "features"], check=True, capture_output=True, timeout=60
    )
    assert json.loads(done.stdout)["linux"]["seccomp"]["enabled"]
    lines = [line.partition("(") for line in trace.read_text().splitlines()[1:]]
    assert [name for name, _, _ in lines] == ["open_tree", "mount_setattr", "execveat"] * 2
    assert all('"", ' in rest and "AT_EMPTY_PATH" in rest for name, _, rest in lines if name == "execveat")


@requires(facility.root, facility.busybox)
def test_it_logs_where_the_launcher_does(tmp_path: Path) -> None:
    config = default_config()
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    bundle, log = write_bundle(tmp_path / "bundle", with_args(config, "/bin/true")), tmp_path / "log"
    cache = tmp_path / "state" / "@cache"
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    options = ("--root", tmp_path / "state", "--debug", "--log", log, "--log-format", "json")
    ident = f"companion-{tmp_path.parent.name}"
    done = subprocess.run(
        [PROGRAM, *options, "run", "--bundle", bundle, ident], check=False, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    (told,) = (record["msg"] for record in map(json.loads, log.read_text().splitlines()) if "not kept" in record["msg"])
    assert told.startswith(f"the seccomp filter is not kept in {cache}: ")


@pytest.mark.parametrize("words", [(), ("ocirun.claims",)])
def test_its_word_is_no_option_of_the_program(words: tuple[str, ...]) -> None:
    done = subprocess.run([PROGRAM, "--answer", *words], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ocirun unknown option --answer")
