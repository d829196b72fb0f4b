"""The mount of type cgroup on a machine with cgroup v2 alone, with and without a cgroup namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.bundle import Config, default_config, with_cgroup, with_user_namespace, without_namespace
from vm.groups import MIB, TOP

if TYPE_CHECKING:
    from process.box import Box

LOOK = "cat /proc/self/cgroup; cd /sys/fs/cgroup; grep -c . cgroup.procs; cat memory.max; stat -f -c %t ."
CGROUP2_SUPER_MAGIC = "63677270"


def limited(box: Box, namespace: bool, writable: bool = False) -> Config:
    config = with_cgroup(default_config(), f"/{box.ident}", {"memory": {"limit": 32 * MIB}})
    if not namespace:
        without_namespace(config, "cgroup")
    if writable:
        (mount,) = [each for each in config["mounts"] if each["type"] == "cgroup"]
        mount["options"].remove("ro")
    return config


@pytest.mark.parametrize("namespace", [True, False])
def test_the_container_sees_its_own_cgroup(box: Box, namespace: bool) -> None:
    where, processes, limit, magic = box.shell(LOOK, limited(box, namespace)).split()
    assert where == ("0::/" if namespace else f"0::/{box.ident}")
    assert int(processes) >= 1
    assert (limit, magic) == (str(32 * MIB), CGROUP2_SUPER_MAGIC)


@pytest.mark.parametrize("namespace", [True, False])
def test_a_read_only_view(box: Box, namespace: bool) -> None:
    script = "mkdir /sys/fs/cgroup/sub 2>/dev/null || echo kept; echo 0 > /sys/fs/cgroup/memory.low || echo kept"
    assert box.run(with_script(limited(box, namespace), script)).ok().out.split() == ["kept", "kept"]


def with_script(config: Config, script: str) -> Config:
    config["process"]["args"] = ["sh", "-c", script]
    return config


@pytest.mark.parametrize("namespace", [True, False])
def test_a_writable_view_takes_cgroups_of_the_container(box: Box, namespace: bool) -> None:
    """As a service manager in a container does it; `run` removes them with the container's own."""
    script = (
        "cd /sys/fs/cgroup && mkdir -p init sub/deep && for p in $(cat cgroup.procs); do echo $p > init/cgroup.procs; "
        "done; echo +memory > cgroup.subtree_control && echo 1048576 > sub/memory.max && cat sub/memory.max"
    )
    out = box.shell(script, limited(box, namespace, writable=True))
    assert out.split() == [str(MIB)]
    assert not (TOP / box.ident).exists()


def test_nothing_above_the_container_s_cgroup_is_in_reach(box: Box) -> None:
    config = limited(box, namespace=False, writable=True)
    out = box.shell("cd /sys/fs/cgroup/.. && pwd && ls /sys/fs/cgroup | grep -c vm- ; true", config)
    assert out.split() == ["/sys/fs", "0"]


@pytest.mark.parametrize("options", [["nsdelegate"], ["rprivate", "memory_recursiveprot"]])
def test_options_of_the_filesystem(box: Box, options: list[str]) -> None:
    """The container's own cgroup2 gets them; what it does not know is refused in the kernel's words."""
    config = limited(box, namespace=True)
    (mount,) = [each for each in config["mounts"] if each["type"] == "cgroup"]
    mount["options"] += options
    assert box.shell(LOOK, config).split()[0] == "0::/"
    mount["options"].append("no-such-option")
    result = box.run(config).expect(1)
    assert "/mounts/6: mount cgroup on /sys/fs/cgroup" in result.err
    assert "cgroup2: Unknown parameter 'no-such-option'" in result.err


def test_a_bound_view_takes_no_option_of_the_filesystem(box: Box) -> None:
    config = limited(box, namespace=False)
    (mount,) = [each for each in config["mounts"] if each["type"] == "cgroup"]
    mount["options"].append("nsdelegate")
    assert "/mounts/6/options: mount cgroup on /sys/fs/cgroup: only a cgroup2" in box.run(config).expect(1).err


@pytest.mark.parametrize("namespace", [True, False])
def test_recursive_options_and_propagation(box: Box, namespace: bool) -> None:
    config = limited(box, namespace, writable=True)
    (mount,) = [each for each in config["mounts"] if each["type"] == "cgroup"]
    mount["options"] = ["rro", "rnosuid", "rslave"]
    table = box.shell("cat /proc/self/mountinfo", config).splitlines()
    (line,) = [line for line in table if " /sys/fs/cgroup " in line]
    assert {"ro", "nosuid"} <= set(line.split()[5].split(","))
    assert "shared" not in line
    script = "mkdir /sys/fs/cgroup/sub 2>/dev/null || echo kept"
    assert box.run(with_script(config, script)).ok().out.split() == ["kept"]


def test_with_a_user_namespace(box: Box) -> None:
    config = with_user_namespace(limited(box, namespace=True))
    box.rootfs.parent.parent.chmod(0o755)
    assert box.shell(LOOK, config).split()[0] == "0::/"
