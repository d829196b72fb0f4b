"""A user without privileges runs what `spec --rootless` writes."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import Box, one_sentence
from support import facility
from support.bundle import Config, default_config, with_shell
from support.facility import need
from support.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.process, pytest.mark.privileged]

PLAIN = 1234
"""A uid that has no entry in /etc/passwd, /etc/subuid or anywhere."""


def as_plain_user(*words: str) -> list[str]:
    program = facility.find_program("setpriv")
    return [program or "setpriv", f"--reuid={PLAIN}", f"--regid={PLAIN}", "--clear-groups", *words]


def plain_user_namespace() -> str:
    """A plain user may make a user namespace here."""
    return facility._tried(*as_plain_user("unshare", "--user", "--map-root-user", "true"))


@pytest.fixture
def box(tmp_path: Path, program: Path) -> Iterator[Box]:
    """A box outside pytest's folders, which only root may enter; everything in it is the plain user's."""
    need(facility.root, facility.busybox, plain_user_namespace)
    with tempfile.TemporaryDirectory(prefix="ocirun-plain-") as name:
        folder = Path(name)
        wrapper = folder / "ocirun"
        wrapper.write_text(f'#!/bin/sh\nexec {" ".join(as_plain_user(str(program)))} "$@"\n')
        wrapper.chmod(0o755)
        with Runtime(wrapper, folder / "root", folder / "calls") as runtime:
            box = Box(runtime, folder)
            assert box.rootfs.exists()
            for where, directories, files in os.walk(folder):
                for entry in (".", *directories, *files):
                    os.chown(Path(where) / entry, PLAIN, PLAIN, follow_symlinks=False)
            runtime.call("spec", "--rootless", "--bundle", str(box.bundle)).ok()
            yield box


def config_of(box: Box, script: str) -> Config:
    config: Config = json.loads((box.bundle / "config.json").read_text())
    config["process"]["terminal"] = False
    return with_shell(config, script)


def test_run(box: Box) -> None:
    before = box.snapshot()
    out = box.shell("id -u; id -g; cat /proc/self/uid_map; hostname; touch /dev/shm/x", config_of(box, "true"))
    assert out.split() == ["0", "0", "0", str(PLAIN), "1", "ocirun"]
    before.assert_unchanged()


def test_a_life_and_exec(box: Box) -> None:
    box.create(config_of(box, "exec sleep 1000")).ok()
    assert box.runtime.status(box.ident) == "created"
    box.runtime.start(box.ident).ok()
    pid = box.runtime.state(box.ident)["pid"]
    assert os.stat(f"/proc/{pid}").st_uid in (0, PLAIN)
    assert box.exec("id -u; cat /proc/1/comm; pwd").ok().out.split() == ["0", "sleep", "/"]
    box.exec("exit 7").expect(7)
    box.runtime.kill_and_delete(box.ident)


def test_the_host_stays_the_hosts(box: Box) -> None:
    (box.rootfs / "root.txt").write_text("of root")
    (box.rootfs / "root.txt").chmod(0o600)
    config = config_of(box, "true")
    config["root"]["readonly"] = False
    out = box.shell("cat /root.txt 2>/dev/null || echo no; touch /made && stat -c %u /made", config)
    assert out.split() == ["no", "0"]
    assert (box.rootfs / "made").stat().st_uid == PLAIN


def test_a_config_without_a_user_namespace_says_what_is_missing(box: Box) -> None:
    box.write(default_config())
    before = box.snapshot()
    result = box.runtime.create(box.ident, box.bundle).expect(1)
    assert "operation not permitted" in one_sentence(result)
    assert "spec --rootless" in result.err
    before.assert_unchanged()
