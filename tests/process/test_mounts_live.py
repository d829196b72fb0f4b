"""`mounts add` and `mounts remove`: what a container that is there sees then, and what is left when it goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from process.box import Box, one_sentence, read_json
from process.mounting import Mount, mounted, parse
from process.plain import config_of, plain_box, plain_user_namespace
from support import facility
from support.bundle import (
    default_config,
    mount,
    with_bind,
    with_mount,
    with_namespace,
    with_shell,
    with_user_namespace,
    without_namespace,
)
from support.command import wait_for
from support.facility import need
from support.runtime import Runtime, runtime_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.bundle import Config
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged]

SLEEP = "exec sleep 1000"


@pytest.fixture
def plain(program: Path) -> Iterator[Box]:
    need(facility.root, facility.busybox, plain_user_namespace)
    with plain_box(program) as box:
        yield box


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """One running container for all that takes its mounts away again, or is refused."""
    need(facility.root, facility.busybox)
    folder = tmp_path_factory.mktemp("still")
    with Runtime(runtime_path(), folder / "root", folder / "calls") as runtime:
        box = Box(runtime, folder)
        box.start_sleeper(box.with_shared(default_config()))
        yield box


@pytest.fixture(params=["root", "userns", "plain"])
def running(request: pytest.FixtureRequest) -> Box:
    """A box with a container that runs: of root, of root with a user namespace of its own, of a plain user."""
    if request.param == "plain":
        plain: Box = request.getfixturevalue("plain")
        config = config_of(plain, SLEEP)
        config["root"]["readonly"] = False
        plain.run(config, "--detach").ok()
        return plain
    box: Box = request.getfixturevalue("box")
    config = default_config()
    if request.param == "userns":
        need(facility.user_namespace)
        config = with_user_namespace(config)
        for path in (box.rootfs, *box.rootfs.iterdir()):
            os.chown(path, 100000, 100000)
    box.start_sleeper(config)
    return box


def call(box: Box, deed: str, *words: str) -> Result:
    """`mounts`, after which the host is as before."""
    before = box.snapshot()
    done = box.runtime.call("mounts", deed, box.ident, *words)
    before.assert_unchanged()
    return done


def written(box: Box, value: Any) -> str:
    file = box.shared / "mounts.json"
    file.write_text(json.dumps(value, indent=1))
    return str(file)


def seen(box: Box) -> dict[str, Mount]:
    return parse(box.exec("cat /proc/self/mountinfo").ok().out)


def kept(box: Box) -> list[Config]:
    """The mounts of the container's configuration in the state directory."""
    found: list[Config] = read_json(box.runtime.root / box.ident / "config.json")["mounts"]
    return found


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def of_the_host(box: Box) -> Path:
    folder = box.shared / "data"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "file").write_text("of the host")
    return folder


def test_add_and_remove(running: Box) -> None:
    data, began = of_the_host(running), kept(running)
    added = ("--bind", f"{data}:/new/w", "--ro-bind", f"{data}:/new/r", "--ro-bind", f"{data}/file:/etc/added")
    call(running, "add", *added, "--tmpfs", "/new/w/inner", "--tmpfs", "/srv").ok()
    script = "touch /new/w/made /new/w/inner/x /srv/x && cat /etc/added && touch /new/r/no 2>/dev/null || echo closed"
    assert running.exec(script).ok().out == "of the hostclosed\n"
    assert (data / "made").exists()
    found = seen(running)
    assert {"ro", "nosuid", "nodev"} <= found["/etc/added"].options
    assert {"rw", "nosuid", "nodev"} <= found["/new/w"].options
    assert [each["destination"] for each in kept(running)[len(began) :]] == [
        "/etc/added", "/new/r", "/new/w", "/new/w/inner", "/srv",
    ]  # fmt: skip
    gone = [word for place in ("/new/w/inner", "/new/w", "/srv", "/etc/added") for word in ("--destination", place)]
    call(running, "remove", *gone).ok()
    assert {"/new/w", "/srv", "/etc/added"} & set(seen(running)) == set()
    assert running.exec("ls /new/r /new/w").ok().out.split() == ["/new/r:", "file", "inner", "made", "/new/w:"]
    assert [each["destination"] for each in kept(running)] == [*(each["destination"] for each in began), "/new/r"]
    call(running, "remove", written(running, [{"destination": "/new/r"}])).ok()
    assert kept(running) == began


@pytest.mark.parametrize("way", ["array", "object", "stdin"])
def test_a_file(still: Box, way: str) -> None:
    """As in config.json: a relative source begins at the bundle."""
    (still.bundle / "below").mkdir(exist_ok=True)
    entries = [
        mount("/a", "tmpfs", "tmpfs", "size=64k", "noexec", "shared"),
        mount("/b", "none", "below", "bind", "ro"),
    ]
    value: Any = {"ociVersion": "1.0.2", "mounts": entries} if way == "object" else entries
    if way == "stdin":
        still.runtime.call("mounts", "add", still.ident, "-", stdin=json.dumps(value).encode()).ok()
    else:
        call(still, "add", written(still, value)).ok()
    found = seen(still)
    call(still, "remove", written(still, value)).ok()
    assert "noexec" in found["/a"].options
    assert "size=64k" in found["/a"].superblock
    assert found["/a"].propagation.startswith("shared:")
    assert "ro" in found["/b"].options


def test_flags_of_a_whole_tree_and_mapped_ids(still: Box) -> None:
    need(facility.user_namespace)
    box = still
    with mounted(box.directory / "tree", "-t", "tmpfs", "tree") as top, mounted(top / "sub", "-t", "tmpfs", "tree"):
        call(box, "add", written(box, [mount("/tree", "bind", str(top), "rbind", "rro", "rslave")])).ok()
    found = seen(box)
    assert ("ro" in found["/tree"].options, "ro" in found["/tree/sub"].options) == (True, True)
    mappings = [{"containerID": 0, "hostID": 1000, "size": 10}]
    entry = mount("/mapped", "tmpfs", "tmpfs", "idmap") | {"uidMappings": mappings, "gidMappings": mappings}
    call(box, "add", written(box, [entry])).ok()
    assert box.exec("stat -c %u:%g /mapped").ok().out == "1000:1000\n"


def test_a_view_of_the_cgroups(box: Box) -> None:
    """It is guarded as the first one is."""
    box.start_sleeper()
    call(box, "add", written(box, [mount("/cg", "cgroup", "cgroup", "ro")])).ok()
    assert box.exec("ls /cg; ls /sys/fs/cgroup").ok().out.split()[0]
    assert seen(box)["/cg"].kind == seen(box)["/sys/fs/cgroup"].kind
    call(box, "remove", "--destination", "/cg").expect(1)


def test_a_failure_takes_all_back(running: Box) -> None:
    """Mounts and mount points, also those in a mount that was just added, on the host and in the container."""
    data = of_the_host(running)
    (running.rootfs / "link").symlink_to("/proc/sys")
    entries = [
        mount("/new/tmpfs", "tmpfs", "tmpfs"),
        mount("/new/data", "bind", str(data), "bind"),
        mount("/new/data/below/it", "tmpfs", "tmpfs"),
        mount("/new/file", "bind", str(data / "file"), "bind"),
    ]
    (running.shared / "mounts.json").touch()
    before = seen(running), kept(running), tree(running.rootfs), tree(running.shared)
    for last in (
        mount("/last", "no-such-filesystem", "none"),
        mount("/last", "tmpfs", "tmpfs", "no-such-option"),
        mount("/etc/passwd/last", "tmpfs", "tmpfs"),
        mount("/link", "tmpfs", "tmpfs"),
    ):
        file = written(running, [*entries, last])
        said = one_sentence(call(running, "add", file).expect(1))
        assert said.startswith(f"mounts add {running.ident}: {file}: /4: mount {last['type']} on {last['destination']}")
        assert (seen(running), kept(running), tree(running.rootfs), tree(running.shared)) == before


@pytest.mark.parametrize("state", ["created", "paused", "stopped"])
def test_states(box: Box, state: str) -> None:
    """A created container's program finds the mount; a paused one's is not asked; a stopped one has no mounts."""
    need(*([facility.cgroup_v1] if state == "paused" else []))
    data = of_the_host(box)
    words = ("add", "--bind", f"{data}:/data")
    if state == "created":
        box.create(with_shell(default_config(), f"cat /data/file > /data/copy; {SLEEP}")).ok()
        call(box, *words).ok()
        box.runtime.start(box.ident).ok()
        wait_for(lambda: (data / "copy").exists() and (data / "copy").read_text() == "of the host")
        return
    box.start_sleeper()
    if state == "paused":
        box.runtime.call("pause", box.ident).ok()
        call(box, *words).ok()
        assert box.runtime.status(box.ident) == "paused"
        box.runtime.call("resume", box.ident).ok()
        assert box.exec("cat /data/file").ok().out == "of the host"
        return
    box.runtime.kill(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    assert one_sentence(call(box, *words).expect(1)).endswith(": container not running: it is stopped")


def test_guarded_places(box: Box) -> None:
    """Neither covered nor taken away, also not through a link."""
    config = default_config()
    config["linux"]["readonlyPaths"].append("/data/closed")
    (box.rootfs / "data" / "closed").mkdir(parents=True)
    (box.rootfs / "srv" / "null").symlink_to("/dev/null")
    (box.rootfs / "srv" / "data").symlink_to("/data")
    box.start_sleeper(config)
    before = seen(box)
    for words, says in (
        (("add", "--tmpfs", "/data"), ": mount on /data: /data/closed, which is in it, is in linux.readonlyPaths"),
        (("remove", "--destination", "/proc"), ": unmount /proc: it is the container's proc"),
        (("add", "--bind", "/etc/hostname:/srv/null"), "(it leads to /dev/null: it is made for every container)"),
        (("remove", "--destination", "/srv/null"), "(it leads to /dev/null: it is made for every container)"),
        (
            ("add", "--tmpfs", "/srv/data"),
            "(it leads to /data: /data/closed, which is in it, is in linux.readonlyPaths)",
        ),
        (("remove", "--destination", "/srv/data/closed"), "(it leads to /data/closed: it is in linux.readonlyPaths)"),
    ):
        assert one_sentence(call(box, *words).expect(1)).endswith(says)
    assert seen(box) == before


def test_what_is_below_dev_can_be_added(still: Box) -> None:
    box = still
    call(box, "add", written(box, [mount("/dev/kmsg", "bind", "/dev/null", "bind")])).ok()
    assert box.exec("echo x > /dev/kmsg; stat -c %t:%T /dev/kmsg").ok().out == "1:3\n"
    call(box, "remove", "--destination", "/dev/kmsg", "--destination", "/dev/shm").ok()
    assert {"/dev/kmsg", "/dev/shm"} & set(seen(box)) == set()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([mount("/x", "proc", "proc")], "/0: mount proc on /x: it would show what the container's own has masked"),
        ([mount("/x", "tmpfs", "tmpfs", "remount")], "/0: remount /x: it adds nothing"),
        ([mount("/x", "bind", "", "bind")], "/0/source: bind mount on /x: nothing is named to be bound"),
        ([mount("/x", "bind", "/no/such", "bind")], "/0: bind mount /no/such on /x: open_tree: no such file or dir"),
        ([mount("/x", "tmpfs", "x"), {"destination": 1}], ":8:18: /1/destination: 1 is not allowed here, expected a"),
        ([mount("/x", "tmpfs", "tmpfs", "idmap")], '/0/options/0: the option "idmap" needs mappings of the mount or'),
        ({"mounts": [{"type": "tmpfs"}]}, "/mounts/0/destination: the member destination is missing"),
        ({}, "it is neither an array of mounts nor an object with one"),
    ],
)  # fmt: skip
def test_refused_files(still: Box, value: Any, says: str) -> None:
    file = written(still, value)
    said = one_sentence(call(still, "add", file).expect(1))
    assert said.startswith(f"mounts add {still.ident}: {file}:"), said
    assert says in said, said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("put", "--tmpfs", "/x"), "mounts takes add or remove, not 'put'"),
        (("add",), "nothing to add is named"),
        (("add", "--destination", "/x"), "--destination cannot be given to mounts add"),
        (("remove", "--tmpfs", "/x", "--bind", "/x"), "--tmpfs and --bind cannot be given to mounts remove"),
        (("add", "file", "--tmpfs", "/x"), "the mounts are those of the file or of options, not of both"),
        (("add", "--bind", ":/x"), "--bind :/x: nothing is named to be bound"),
        (("add", "--ro-bind", "/no/such:/x"), "--ro-bind /no/such:/x: bind mount /no/such on /x: open_tree: no such"),
        (("remove", "--destination", "/etc"), "--destination /etc: unmount /etc (nothing is mounted there)"),
        (("remove", "--destination", "/no"), "--destination /no: unmount /no: openat2: no such file or directory"),
    ],
)
def test_refused_words(still: Box, words: tuple[str, ...], says: str) -> None:
    assert says in one_sentence(call(still, *words).expect(1))


@pytest.mark.parametrize(
    ("last", "hint"),
    [
        (
            mount("/x", "tmpfs", "t", "noexe"),
            '/1/options/0: the option "noexe" is left to the filesystem; did you mean',
        ),
        (mount("/x", "bind", "rootf", "bind"), "/bundle/rootfs?"),
    ],
)
def test_hints(still: Box, last: Config, hint: str) -> None:
    done = call(still, "add", written(still, [mount("/srv", "tmpfs", "tmpfs"), last])).expect(1)
    assert hint in done.err.partition("\nhint: ")[2]


def test_a_runtime_that_is_killed_takes_all_back(still: Box) -> None:
    """The process in the container does, whose end is that of the pipe too. All is there when the record is renamed."""
    need(facility.strace)
    before = seen(still), kept(still), tree(still.rootfs)
    killing = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=/^rename:signal=KILL:when=1"]
    command = [str(still.runtime.path), "--root", str(still.runtime.root), "mounts", "add", still.ident]
    done = subprocess.run(
        [*killing, *command, "--tmpfs", "/new/one", "--bind", f"{still.shared}:/new/two"],
        stdout=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (-9, 137)
    assert (seen(still), kept(still), tree(still.rootfs)) == before


def test_all_are_found_before_the_first_is_removed(still: Box) -> None:
    before = seen(still), kept(still)
    call(still, "remove", "--destination", "/shared", "--destination", "/srv").expect(1)
    assert (seen(still), kept(still)) == before


def test_the_uppermost_of_several_is_removed(box: Box) -> None:
    box.start_sleeper(with_mount(default_config(), "/srv", "tmpfs", "below"))
    call(box, "add", written(box, [mount("/srv", "tmpfs", "above")])).ok()
    assert kept(box)[-1]["source"] == "above"
    call(box, "remove", "--destination", "/srv").ok()
    assert kept(box)[-1]["source"] == "below"
    assert box.exec("mount; true").ok().out.count("/srv") == 1


def test_a_container_without_mounts_of_its_own(box: Box) -> None:
    config = without_namespace(default_config(), "mount")
    config["mounts"] = []
    del config["linux"]["maskedPaths"], config["linux"]["readonlyPaths"]
    box.start_sleeper(config)
    said = one_sentence(call(box, "add", "--tmpfs", "/srv").expect(1))
    assert said.endswith("the container has no mount namespace of its own: its mounts are the host's")


def test_other_namespaces_are_the_container_s(box: Box) -> None:
    """What sees namespaces sees the container's; the processes of the host may be seen without harm."""
    config = with_namespace(without_namespace(default_config(), "pid"), "ipc")
    box.start_sleeper(config)
    call(box, "add", written(box, [mount("/mq", "mqueue", "mqueue")])).ok()
    box.exec("touch /mq/of-the-container && test -e /dev/mqueue/of-the-container").ok()


def test_what_is_open_stays_usable(box: Box) -> None:
    data = of_the_host(box)
    config = with_bind(default_config(), data, "/data")
    config = with_shell(config, "exec 3< /data/file; mkfifo /tmp/go; echo ready; read line < /tmp/go; cat <&3")
    result = box.run(config, "--detach").ok()
    wait_for(lambda: result.out == "ready\n")
    call(box, "remove", "--destination", "/data").ok()
    box.exec("test ! -e /data/file && echo > /tmp/go").ok()
    wait_for(lambda: result.out == "ready\nof the host")
