"""`install`: files of engines as the program writes them, and the transcripts of its page."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from process.plain import PLAIN, as_plain_user, reachable
from support import facility
from support.command import Output, run_command
from support.facility import need
from support.pages import INSTALLED, not_shown, transcript

if TYPE_CHECKING:
    from pathlib import Path

    from support.pages import Block


pytestmark = pytest.mark.process

TEXT = '{\n\t"debug": true\n}'


def install(program: Path, folder: Path, *words: str) -> Output:
    return run_command([str(program), "install", *words], folder / "call")


def test_a_file_keeps_what_it_is(program: Path, tmp_path: Path) -> None:
    """A link stays one, mode and owner stay; the second time nothing is written; undo brings each byte back."""
    need(facility.root)
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text(TEXT)
    real.chmod(0o640)
    os.chown(real, 7, 8)
    link.symlink_to("real.json")
    words = ("docker", "--config", str(link), "--default")
    assert "+\t" in install(program, tmp_path, *words, "--dry-run").ok().out
    assert real.read_text() == TEXT
    done = install(program, tmp_path, *words).ok()
    assert done.out.splitlines()[-1] == "next: systemctl reload docker; docker run --rm busybox echo hello"
    wanted = {"debug": True, "runtimes": {"ocirun": {"path": str(program)}}, "default-runtime": "ocirun"}
    assert json.loads(real.read_text()) == wanted
    assert link.is_symlink()
    for path in (real, tmp_path / "real.json.before-ocirun"):
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o640, 7, 8)
    inode = real.stat().st_ino
    assert install(program, tmp_path, *words).ok().out == f"{real}: nothing to change\n"
    assert real.stat().st_ino == inode
    install(program, tmp_path, *words[:3]).ok()
    install(program, tmp_path, *words[:3], "--undo").ok()
    assert real.read_text() == TEXT
    assert install(program, tmp_path, *words[:3], "--undo").ok().out == f"{real}: nothing to undo\n"
    assert {path.name for path in tmp_path.glob("*.json*")} == {"real.json", "link.json"}


def test_undo_of_a_file_that_was_changed(program: Path, tmp_path: Path) -> None:
    """What the user has written since is kept; what would not work any more is told."""
    file = tmp_path / "config.toml"
    words = ("containerd", "--config", str(file))
    install(program, tmp_path, *words).ok()
    file.write_text(
        file.read_text() + '\n[plugins."io.containerd.grpc.v1.cri".containerd]\ndefault_runtime_name = "ocirun"\n'
    )
    done = install(program, tmp_path, *words, "--undo").ok()
    assert "ocirun is still the default runtime" in done.err
    assert file.read_text().startswith("version = 2\n\n[plugins")
    assert "written by" not in file.read_text()
    assert not list(tmp_path.glob("*.before-*"))


def test_a_new_file_and_its_folders_are_gone(program: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "conf.d" / "ocirun.conf"
    install(program, tmp_path, "podman", "--config", str(file)).ok()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    install(program, tmp_path, "podman", "--config", str(file), "--undo").ok()
    assert not file.parent.parent.exists()


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (b'{"a": 1,}', ("docker",), ":1:9: the file is no JSON: "),
        (b"\xff{}", ("docker",), ":1:1: read the engine's configuration: "),
        (b"a = \n", ("podman", "--undo"), ":1:5: the file is no TOML: "),
        (b"", ("docker", "--name", "runc"), "Docker keeps the name 'runc' for its own"),
        (b"", ("docker", "--name", "a/b"), "--name takes letters"),
        (b"", ("cri-o",), "there is a way for docker, containerd, podman, not for 'cri-o'"),
        (None, ("docker",), "it is no regular file"),
    ],
)
def test_what_is_refused(program: Path, tmp_path: Path, text: bytes | None, words: tuple[str, ...], said: str) -> None:
    """Nothing is written then."""
    file = tmp_path / "file"
    file.mkdir() if text is None else file.write_bytes(text)
    done = install(program, tmp_path, *words, "--config", str(file)).expect(1)
    assert said in done.err
    assert text is None or file.read_bytes() == text
    assert not list(tmp_path.glob("file.*"))


def test_an_engine_that_is_not_installed(program: Path, tmp_path: Path) -> None:
    """Its file can be prepared. A plain user has places of his own."""
    need(facility.root)
    with reachable(program) as copied:
        home = copied.parent.parent / "home"
        home.mkdir()
        os.chown(home, PLAIN, PLAIN)
        for engine, file in (("docker", "docker/daemon.json"), ("podman", "containers/containers.conf.d/ocirun.conf")):
            argv = as_plain_user(str(copied), "install", engine)
            done = run_command(argv, tmp_path / "call", env={"HOME": str(home), "PATH": "/nowhere"}).ok()
            assert f"+++ {home}/.config/{file}\n" in done.out
            assert str(copied) in (home / ".config" / file).read_text()


@pytest.mark.executes("docs/install.md")
def test_the_page_s_transcripts(program: Path, tmp_path: Path, blocks: list[Block]) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ocirun").symlink_to(program)
    env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    found = transcript(blocks)
    assert len(found) > 5
    for command, expected in found:
        done = run_command(["sh", "-c", command], tmp_path / "out", cwd=tmp_path, env=env)
        shown = done.ok().out.replace(str(program), INSTALLED)
        assert not_shown(shown, expected, str(tmp_path)) == [], (command, shown)
