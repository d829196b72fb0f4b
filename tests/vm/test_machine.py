"""The machine is the one that this lane is for, and a whole life of a container leaves it as it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from process.box import one_sentence
from support import facility
from support.bundle import default_config, with_shell, with_user_namespace
from support.host import HostSnapshot
from vm.groups import TOP, read

if TYPE_CHECKING:
    from process.box import Box

ALL_CAPABILITIES = (1 << 41) - 1


def test_what_the_other_lane_lacks_is_here() -> None:
    assert facility.cgroup_v2() == facility.sys_resource() == facility.user_namespace() == ""
    assert facility.time_namespace() == facility.overlayfs() == ""
    assert {"cpuset", "cpu", "io", "memory", "pids"} <= set(read(TOP, "cgroup.controllers").split())
    assert facility.cgroup_v1() != ""
    assert "apparmor" in Path("/sys/kernel/security/lsm").read_text().split(",")
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert int(status["CapEff"], 16) == ALL_CAPABILITIES


def test_a_whole_life(box: Box) -> None:
    box.write(with_shell(box.with_shared(default_config()), "echo ran > /shared/ran; exec sleep 1000"))
    before = HostSnapshot.take(box.runtime.root)
    for _ in range(2):
        box.runtime.create(box.ident, box.bundle).ok()
        assert box.runtime.status(box.ident) == "created"
        assert not (box.shared / "ran").exists()
        box.runtime.start(box.ident).ok()
        assert box.runtime.status(box.ident) == "running"
        assert box.exec("exit 7").code == 7
        box.runtime.kill_and_delete(box.ident)
        (box.shared / "ran").unlink()
    before.assert_unchanged()


def test_a_failed_create_leaves_nothing(box: Box) -> None:
    config = default_config("no-such-program")
    config["linux"]["resources"]["memory"] = {"limit": 64 << 20}
    box.write(config)
    before = HostSnapshot.take(box.runtime.root)
    assert "executable file not found" in one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    config["mounts"].append({"destination": "/x", "type": "no-such-filesystem", "source": "x"})
    box.write(config)
    one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    before.assert_unchanged()


def test_a_user_namespace(box: Box) -> None:
    config = with_user_namespace(default_config())
    script = "cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c %u /proc/1; cat /proc/self/cgroup"
    words = box.shell(script, config).split()
    assert words == ["0", "100000", "65536", "0", "100000", "65536", "0", "0", "0::/"]
    pid = box.start_sleeper(config) if not box.runtime.list() else 0
    assert Path(f"/proc/{pid}").stat().st_uid == 100000
