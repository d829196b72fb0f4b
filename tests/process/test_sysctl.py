"""linux.sysctl: both ways to write a name, every family that a namespace has for itself, and the host's, refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from process.box import changed, one_sentence
from support import facility
from support.bundle import default_config, with_namespace, with_user_namespace, without_namespace
from support.facility import need, requires
from support.network import Space, ip, veth

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

PARAMETERS = [
    # as the configuration writes it, the file below /proc/sys, a value that no kernel begins with
    ("net.ipv4.ip_forward", "net/ipv4/ip_forward", "1"),
    ("net/ipv4/ip_forward", "net/ipv4/ip_forward", "1"),
    ("net.ipv4.conf.lo.forwarding", "net/ipv4/conf/lo/forwarding", "1"),
    ("net.core.somaxconn", "net/core/somaxconn", "77"),
    ("kernel.shmmni", "kernel/shmmni", "123"),
    ("kernel/msgmax", "kernel/msgmax", "4321"),
    ("kernel.shm_rmid_forced", "kernel/shm_rmid_forced", "1"),
    ("fs.mqueue.msg_max", "fs/mqueue/msg_max", "13"),
    ("fs/mqueue/queues_max", "fs/mqueue/queues_max", "17"),
    ("kernel.domainname", "kernel/domainname", "example.org"),
]
OF_THE_HOST = [
    "vm.swappiness", "vm/overcommit_memory", "kernel.panic", "kernel/core_pattern", "kernel.pid_max",
    "kernel.randomize_va_space", "kernel.keys.maxkeys", "fs.file-max", "fs/inotify/max_user_watches", "fs.mqueue",
    "dev.cdrom.debug", "debug.exception-trace", "abi.vsyscall32", "sunrpc.rpc_debug", "kernel.sem.x",
]  # fmt: skip


def host_value(path: str) -> str:
    return Path("/proc/sys", path).read_text()


@pytest.mark.parametrize(("name", "path", "value"), PARAMETERS, ids=[row[0] for row in PARAMETERS])
def test_a_parameter_of_the_container(box: Box, name: str, path: str, value: str) -> None:
    before = host_value(path.replace("/lo/", "/all/"))
    config = changed(default_config(), "/linux/sysctl", {name: value})
    assert box.shell(f"cat /proc/sys/{path}", config) == value + "\n"
    assert host_value(path.replace("/lo/", "/all/")) == before


@pytest.mark.parametrize("name", ["net/ipv4/conf/v.1/tag", "net.ipv4.conf.v/1.tag"])
def test_a_dot_in_the_name_of_an_interface(box: Box, name: str) -> None:
    """As sysctl.d(5) has it: what separates stands first in the name, and the other character means the dot.

    `tag` is used by nobody; a new namespace inherits `forwarding` from the host.
    """
    need(veth)
    space = Space()
    try:
        ip("link", "add", "v.1", "type", "veth", "peer", "name", "v.2", pid=space.pid)
        config = with_namespace(changed(default_config(), "/linux/sysctl", {name: "1"}), "network", space.path)
        assert box.shell("cd /proc/sys/net/ipv4/conf; cat v.1/tag v.2/tag", config) == "1\n0\n"
    finally:
        space.close()


@requires(facility.user_namespace)
def test_a_parameter_of_the_user_namespace(box: Box) -> None:
    config = with_user_namespace(changed(default_config(), "/linux/sysctl", {"user.max_net_namespaces": "7"}))
    before = host_value("user/max_net_namespaces")
    assert box.shell("cat /proc/sys/user/max_net_namespaces", config) == "7\n"
    assert host_value("user/max_net_namespaces") == before


@pytest.mark.parametrize("name", OF_THE_HOST)
def test_a_parameter_of_the_host_is_refused(box: Box, name: str) -> None:
    box.write(changed(default_config(), "/linux/sysctl", {name: "1"}))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.create(box.ident, box.bundle).expect(1))
    assert f": /linux/sysctl/{name.replace('/', '~1')}: {name} belongs to no namespace" in sentence
    before.assert_unchanged()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("net.ipv4.ip_forward", "network"),
        ("kernel.shmmax", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("kernel/domainname", "uts"),
        ("user.max_net_namespaces", "user"),
    ],
)
def test_without_its_namespace_it_is_the_hosts(box: Box, name: str, kind: str) -> None:
    config = without_namespace(changed(default_config(), "/linux/sysctl", {name: "1"}), kind)
    if kind == "uts":
        del config["hostname"]
    sentence = one_sentence(box.create(config).expect(1))
    assert f": /linux/sysctl/{name.replace('/', '~1')}: {name} would change the host" in sentence
    assert sentence.endswith(f"there is no {kind} namespace")


@pytest.mark.parametrize(
    ("name", "kind", "path"),
    [
        ("net.ipv4.ip_forward", "network", "/proc/self/ns/net"),
        ("kernel.shmmni", "ipc", "/proc/self/ns/ipc"),
        ("kernel.domainname", "uts", "/proc/self/ns/uts"),
    ],
)
def test_the_hosts_own_namespace_by_path_is_still_the_hosts(box: Box, name: str, kind: str, path: str) -> None:
    config = with_namespace(changed(default_config(), "/linux/sysctl", {name: "1"}), kind, path)
    config.pop("hostname")
    before, value = box.snapshot(), host_value(name.replace(".", "/"))
    sentence = one_sentence(box.create(config).expect(1))
    assert f": /linux/sysctl/{name}: set the sysctl {name}: it would change the host" in sentence
    assert host_value(name.replace(".", "/")) == value
    before.assert_unchanged()


def test_a_namespace_of_another_container_may_be_set(box: Box) -> None:
    first = box.start_sleeper()
    config = with_namespace(default_config(), "ipc", f"/proc/{first}/ns/ipc")
    config["linux"]["sysctl"] = {"kernel.shmmni": "321"}
    box.ident, owner = box.name("second"), box.ident
    assert box.shell("cat /proc/sys/kernel/shmmni", config) == "321\n"
    assert box.runtime.exec(owner, "cat", "/proc/sys/kernel/shmmni").ok().out == "321\n"


@pytest.mark.parametrize("name", ["net/../kernel/panic", "net..ipv4", "/net/ipv4/ip_forward", "", ".", "net/ipv4/"])
def test_a_name_that_is_none(box: Box, name: str) -> None:
    box.write(changed(default_config(), "/linux/sysctl", {name: "1"}))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.create(box.ident, box.bundle).expect(1))
    assert f": /linux/sysctl/{name.replace('/', '~1')}: " in sentence
    before.assert_unchanged()


def test_the_hostname_is_set_in_one_place_only(box: Box) -> None:
    config = changed(default_config(), "/linux/sysctl", {"kernel.hostname": "other"})
    sentence = one_sentence(box.create(config).expect(1))
    assert sentence.endswith("/linux/sysctl/kernel.hostname: kernel.hostname and /hostname both set the hostname")
    del config["hostname"]
    assert box.shell("hostname", config) == "other\n"
