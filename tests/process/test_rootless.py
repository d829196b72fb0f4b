"""A user without privileges runs what `spec --rootless` writes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import Box, one_sentence
from process.plain import PLAIN, config_of, plain_box, plain_user_namespace
from support import facility
from support.bundle import default_config, with_bind
from support.facility import need

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.process, pytest.mark.privileged]


@pytest.fixture
def box(tmp_path: Path, program: Path) -> Iterator[Box]:
    """A box outside pytest's folders, which only root may enter; everything in it is the plain user's."""
    need(facility.root, facility.busybox, plain_user_namespace)
    with plain_box(program) as box:
        yield box


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


def test_devices_are_those_of_the_host(box: Box) -> None:
    """Bound as they are, which is said of what was asked for; a wrong file in their place is an error."""
    config = config_of(box, "stat -c %t:%T:%a /dev/full; echo x > /dev/full")
    config["linux"]["devices"] = [
        {"path": "/dev/full", "type": "c", "major": 1, "minor": 7, "fileMode": 0o600, "uid": 0}
    ]
    result = box.run(config)
    assert result.out == f"1:7:{stat.S_IMODE(os.stat('/dev/full').st_mode):o}\n"
    assert "No space left on device" in result.err
    (said,) = [line["msg"] for line in result.log if line["msg"].startswith("/linux/devices")]
    assert said == "/linux/devices/0: ignoring fileMode, uid: /dev/full is the host's device, bound as it is"
    for path, minor, words in (("/dev/full", 9, "is another device"), ("/dev/no-such", 7, "no such file or directory")):
        config["linux"]["devices"] = [{"path": path, "type": "c", "major": 1, "minor": minor}]
        sentence = one_sentence(box.run(config).expect(1))
        assert f"/linux/devices/0: bind the host's device {path}" in sentence
        assert words in sentence


def test_a_source_that_is_missing_is_named_with_the_reason(box: Box) -> None:
    """The container's process copies the mount, and its parent makes the words."""
    box.write(with_bind(config_of(box, "true"), Path("/no/such"), "/data"))
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert sentence.endswith(": bind mount /no/such on /data: open_tree: no such file or directory")


def test_a_config_without_a_user_namespace_says_what_is_missing(box: Box) -> None:
    box.write(default_config())
    before = box.snapshot()
    result = box.runtime.create(box.ident, box.bundle).expect(1)
    assert "operation not permitted" in one_sentence(result)
    assert "spec --rootless" in result.err
    before.assert_unchanged()
