"""docs/mounts.md shows what happens."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from process.box import read_json
from process.plain import PLAIN, as_plain_user, plain_user_namespace, reachable
from support import facility
from support.bundle import make_rootfs, with_shell, write_bundle
from support.command import run_command
from support.facility import need
from support.pages import not_shown, transcript
from support.runtime import runtime_path

if TYPE_CHECKING:
    from pathlib import Path

    from support.pages import Block

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.mark.executes("docs/mounts.md")
def test_the_page_s_transcripts(tmp_path: Path, blocks: list[Block]) -> None:
    """Typed by a plain user."""
    need(facility.root, facility.busybox, plain_user_namespace)
    found = transcript(blocks)
    assert len(found) > 5
    with reachable(runtime_path()) as program:
        home = program.parent.parent / "home"
        make_rootfs(home / "rootfs")
        wrapper = home / "ocirun"
        wrapper.write_text(f'#!/bin/sh\nexec {program} --root {home}/state "$@"\n')
        wrapper.chmod(0o755)
        env = {"PATH": f"{home}:{os.environ['PATH']}", "LANG": "C.UTF-8"}
        os.chown(home, PLAIN, PLAIN)
        spec = as_plain_user(str(wrapper), "spec", "--rootless", "--bundle", str(home))
        run_command(spec, tmp_path / "spec", env=env).ok()
        config = read_json(home / "config.json")
        config["process"]["terminal"] = config["root"]["readonly"] = False
        write_bundle(home, with_shell(config, "exec sleep 1000"))
        run_command(["chown", "-R", f"{PLAIN}:{PLAIN}", str(home)], tmp_path / "chown").ok()
        try:
            for command, expected in found:
                done = run_command(as_plain_user("sh", "-c", command), tmp_path / "out", cwd=home, env=env)
                said = "\n".join(line for line in done.out.splitlines() if "a cgroup of its own" not in line)
                assert not_shown(said, expected, str(home)) == [], (command, done.details())
        finally:
            run_command([str(wrapper), "delete", "--force", "web"], tmp_path / "delete", env=env)
