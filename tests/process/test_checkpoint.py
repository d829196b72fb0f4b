"""checkpoint and restore as far as every kernel shows them: what is refused, and what a refusal of CRIU's leaves.

What needs a kernel that CRIU knows is in tests/vm/test_checkpoint.py.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import one_sentence
from support import facility
from support.bundle import default_config, with_args, with_shell
from support.facility import need

if TYPE_CHECKING:
    from process.box import Box
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged]


def checkpoint(box: Box, *options: str) -> Result:
    return box.runtime.call("checkpoint", "--image-path", str(box.directory / "images"), *options, box.ident)


def restore(box: Box, *options: str) -> Result:
    return box.runtime.call("restore", "--bundle", str(box.bundle), "--detach", *options, box.ident)


def test_help_is_how_podman_asks(box: Box) -> None:
    for command in ("checkpoint", "restore"):
        assert "--tcp-established" in box.runtime.call(command, "--help").ok().out


def test_only_a_running_container(box: Box) -> None:
    box.create(with_args(default_config(), "true")).ok()
    assert one_sentence(checkpoint(box)) == f"checkpoint {box.ident}: container not running: it is created"
    assert not (box.directory / "images").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--manage-cgroups-mode", "odd"], "--manage-cgroups-mode takes ignore, soft, full or strict, not 'odd'"),
        (["--empty-ns", "ipc"], "--empty-ns: 'ipc' cannot be left empty"),
        (["--page-server", "host"], "--page-server: 'host' is not ADDRESS:PORT"),
        (["--page-server", "host:70000"], "--page-server: 'host:70000' is not ADDRESS:PORT"),
        (["--status-fd", "0"], "--status-fd: only with --lazy-pages"),
        (["--status-fd", "99", "--lazy-pages"], "--status-fd: '99' is not an open descriptor"),
        (["--parent-path", "/before"], "--parent-path: it must be relative"),
        (["--parent-path", "before"], "--parent-path: "),
    ],
)
def test_wrong_options_change_nothing(box: Box, options: list[str], said: str) -> None:
    box.start_sleeper()
    sentence = one_sentence(checkpoint(box, *options))
    assert sentence.replace(f" {box.ident}", "", 1).startswith(f"checkpoint: {said}")
    assert box.runtime.status(box.ident) == "running"
    assert not (box.directory / "images").exists()


def test_restore_wants_a_checkpoint(box: Box) -> None:
    box.write(with_args(default_config(), "true"))
    images = box.directory / "images"
    assert "no such file or directory" in one_sentence(restore(box, "--image-path", str(images)))
    images.mkdir()
    said = one_sentence(restore(box, "--image-path", str(images)))
    assert said == f"restore {box.ident}: --image-path: there is no checkpoint that ocirun has made in {images}"
    (images / "ocirun.json").write_text('{"version":3}')
    assert "not one that this release can read" in one_sentence(restore(box, "--image-path", str(images)))
    assert box.runtime.list() == []


def test_what_stops_criu_is_in_the_error(box: Box) -> None:
    """A page server that is not there; on a kernel that CRIU does not know it says so before."""
    need(lambda: "" if facility.find_program("criu") else "criu is not installed")
    pid = box.start_sleeper()
    said = one_sentence(checkpoint(box, "--work-path", str(box.directory / "work"), "--page-server", "127.0.0.1:1"))
    log = box.directory / "work" / "dump.log"
    assert said.startswith(f"checkpoint {box.ident}: checkpoint the processes with CRIU (log: {log}): (criu/")
    assert "Error (" in log.read_text()
    assert not (box.directory / "images").exists()
    assert box.runtime.state(box.ident)["pid"] == pid
    box.exec("true").ok()


def test_without_criu(box: Box) -> None:
    """Where it is looked for is covered by an empty directory."""
    box.run(with_shell(default_config(), "exec sleep 1000"), "--detach").ok()
    found = facility.find_program("criu")
    need(lambda: "" if found else "criu is not installed")
    assert found
    empty = box.directory / "empty"
    empty.write_text("")
    words = [str(box.runtime.path), "--root", str(box.runtime.root), "checkpoint", box.ident]
    script = 'mount --bind "$0" "$1" && shift && exec "$@"'
    apart = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, str(empty), str(Path(found).resolve())]
    done = subprocess.run(
        [*apart, *words],
        cwd=box.directory, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "the program criu is not installed" in done.stderr
    assert not (box.directory / "checkpoint").exists()
