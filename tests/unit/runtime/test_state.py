"""The state directory, with records forged as a crash, a reused pid or a stranger would leave them."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ocirun import SPEC_VERSION, facts, state
from ocirun.errors import Failure
from ocirun.kernel import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def begin(made: state.Entry) -> None:
    """The first record of a `create` of ours."""
    made.record = {"id": made.ident, "phase": state.CREATING, "creator": list(me())}
    made.save()


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[state.Entry]:
    made = state.claim(str(tmp_path / "root"), "web")
    yield made
    os.close(made.fd)


def me() -> tuple[int, int]:
    return os.getpid(), process.start_time(os.getpid())


@pytest.mark.parametrize("ident", ["a", "A9", "a.b", "..a", "x_y+z-w", "-", "a" * 1024])
def test_ids(ident: str) -> None:
    state.check_id(ident)


@pytest.mark.parametrize("ident", ["", ".", "..", "a/b", "a b", "é", "a\n", "@cache", "a\0", "a" * 1025, "a:b"])
def test_ids_that_are_refused(ident: str) -> None:
    with pytest.raises(Failure, match=r"^invalid container id"):
        state.check_id(ident)


def test_default_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    assert state.default_root() == "/run/user/7/ocirun"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert state.default_root() == "/run/ocirun"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.delenv("USER", raising=False)
    assert state.default_root() == "/run/ocirun"
    monkeypatch.setattr(facts.Facts, "initial_userns", False)
    assert state.default_root() == "/run/user/7/ocirun"
    monkeypatch.setenv("USER", "root")
    assert state.default_root() == "/run/ocirun"


def test_a_record_comes_back(entry: state.Entry, tmp_path: Path) -> None:
    entry.record = {"id": "web", "phase": state.CREATED, "bundle": "/b/\udcff", "annotations": {"k": "ü"}}
    entry.save()
    found = state.find(str(tmp_path / "root"), "web")
    assert found.record.items() >= entry.record.items()
    os.close(found.fd)


def test_only_the_owner_may_look(entry: state.Entry, tmp_path: Path) -> None:
    entry.write("config.json", b"{}")
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
    assert os.fstat(entry.fd).st_mode & 0o777 == 0o700
    assert os.stat("config.json", dir_fd=entry.fd).st_mode & 0o777 == 0o600


def test_a_file_is_replaced_whole(entry: state.Entry) -> None:
    entry.write("x", b"longer than what follows")
    before = os.stat("x", dir_fd=entry.fd).st_ino
    entry.write("x", b"short")
    assert entry.read("x") == b"short"
    assert os.stat("x", dir_fd=entry.fd).st_ino != before
    assert os.listdir(entry.fd) == ["x"]


def test_a_file_that_cannot_be_written_is_named(entry: state.Entry) -> None:
    os.mkdir("x", dir_fd=entry.fd)
    with pytest.raises(Failure, match=r"^write .*/web/x .*is a directory$") as caught:
        entry.write("x", b"data")
    assert caught.value.errno
    os.rmdir("x", dir_fd=entry.fd)


def test_an_id_is_taken_once(entry: state.Entry, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"^container id already in use$"):
        state.claim(str(tmp_path / "root"), "web")


def test_a_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match=r"not a directory$"):
        state.claim(str(tmp_path / "file" / "root"), "web")


def test_unknown_container(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        state.find(str(tmp_path / "absent"), "web")
    assert str(caught.value) == "container does not exist"
    assert str(tmp_path) in caught.value.hint


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "web").write_text("")
    with pytest.raises(Failure, match=r"/web: open the state directory: not a directory$"):
        state.find(str(tmp_path), "web")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "the state cannot be read: "),
        (b"", "the state cannot be read: "),
        (b"\xff\xfe", "the state cannot be read: "),
        (b"[]", "the state is not this container's"),
        (b'{"phase": "created"}', "the state is not this container's"),
        (b'{"id": "other", "phase": "created"}', "the state is not this container's"),
        (b'{"id": "web"}', "the state is not this container's"),
        (b'{"id": "web", "phase": 1}', "the state is not this container's"),
    ],
)
def test_a_record_that_is_no_record(entry: state.Entry, tmp_path: Path, text: bytes, said: str) -> None:
    entry.write("state.json", text)
    with pytest.raises(Failure) as caught:
        state.find(str(tmp_path / "root"), "web")
    assert said in str(caught.value)
    assert caught.value.where == str(tmp_path / "root" / "web" / "state.json")


def test_a_record_that_cannot_be_read_now_is_not_damaged(
    entry: state.Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`delete --force` must not forget a container because it lacks a descriptor."""
    begin(entry)

    def refuse(*_: object) -> bytes:
        raise OSError(errno.EMFILE, "", "state.json")

    monkeypatch.setattr(state.Entry, "read", refuse)
    with pytest.raises(Failure, match=r"state\.json: read the state: too many open files$") as caught:
        state.find(str(tmp_path / "root"), "web")
    assert not isinstance(caught.value, state.Damaged)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("phase", "hibernating"),
        ("creator", [1]),
        ("pid", True),
        ("start", -1),
        ("annotations", {"a": 1}),
        ("hooks", {"poststop": [{"path": "/x", "timeout": "1"}]}),
        ("hooks", {"poststop": [{}]}),
        ("cgroup", {"driver": "v3", "paths": {}, "made": []}),
        ("cgroup", {"driver": "v1", "paths": {"pids": "/"}, "made": []}),
        ("cgroup", {"driver": "v1", "paths": {}, "made": ["relative"]}),
        ("cgroup", {"driver": "v1", "paths": {"pids": "/g"}, "made": [], "owners": {"x": 0}}),
        ("cgroup", {"driver": "v1", "paths": {}, "made": [], "unit": 5}),
        ("launch", []),
        ("launch", [1, ["/process"]]),
        ("listener", ["/x"]),
        ("netDevices", [{"name": "eth0"}]),
        ("intelRdt", {"group": "/x"}),
    ],
)
def test_a_damaged_member_is_named_and_the_others_count(
    entry: state.Entry, tmp_path: Path, member: str, value: object
) -> None:
    entry.record = {"id": "web", "phase": state.CREATED, "bundle": "/b", member: value}
    entry.save()
    with pytest.raises(state.Damaged, match=f"member {member} is not") as caught:
        state.find(str(tmp_path / "root"), "web")
    assert caught.value.entry.record["bundle"] == "/b"
    assert caught.value.entry.record[member] != value


def test_what_a_later_release_has_added_is_kept(entry: state.Entry, tmp_path: Path) -> None:
    entry.record = {"id": "web", "phase": state.CREATED, "of tomorrow": [1]}
    entry.save()
    found = state.find(str(tmp_path / "root"), "web")
    assert found.record["of tomorrow"] == [1]
    assert found.record["cgroup"] is None


def test_a_folder_without_a_record_is_nobodys(entry: state.Entry) -> None:
    root = os.path.dirname(entry.path)
    entry.unlock()
    with pytest.raises(state.UnknownContainer):
        state.find(root, entry.ident)
    again = state.claim(root, entry.ident)
    assert entry.removed()
    again.unlock()
    with pytest.raises(state.UnknownContainer):
        state.hold(root, entry.ident)
    assert os.listdir(root) == []


@pytest.mark.parametrize("finished", [False, True])
def test_another_create_makes_the_folder_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool) -> None:
    """Between mkdir(2) and the lock `delete --force` removes it, and the other may be done before it is locked."""
    path, opening = tmp_path / "web", os.open

    def late(*words: Any, **options: Any) -> int:
        monkeypatch.setattr(os, "open", opening)
        path.rmdir()
        if finished:
            other = state.claim(str(tmp_path), "web")
            begin(other)
            os.close(other.fd)
        return opening(*words, **options)

    monkeypatch.setattr(os, "open", late)
    if finished:
        with pytest.raises(Failure, match=r"^container id already in use$"):
            state.claim(str(tmp_path), "web")
    else:
        assert not state.claim(str(tmp_path), "web").removed()


def test_creating_as_long_as_the_creator_lives(entry: state.Entry) -> None:
    pid, began = me()
    entry.record = {"id": "web", "phase": state.CREATING, "creator": [pid, began]}
    assert entry.status() == state.CREATING
    entry.record["creator"] = [pid, began + 1]
    assert entry.status() == state.STOPPED


def test_the_creator_ends_after_the_record_was_read(entry: state.Entry) -> None:
    begin(entry)
    entry.record["creator"] = [os.getpid(), 1]
    entry.save()
    found = state.find(os.path.dirname(entry.path), entry.ident)
    pid, began = me()
    entry.record |= {"phase": state.RUNNING, "pid": pid, "start": began, "cgroup": None}
    entry.save()
    assert found.status() == "running"


def test_a_dead_creator(entry: state.Entry) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    entry.record = {"id": "web", "phase": state.CREATING, "creator": [child.pid, 5]}
    assert entry.status() == state.STOPPED


def test_a_reused_pid_is_another_process(entry: state.Entry) -> None:
    pid, began = me()
    entry.record = {"id": "web", "phase": state.RUNNING, "pid": pid, "start": began}
    assert entry.alive()
    assert entry.status() == state.RUNNING
    entry.record["start"] = began + 1
    assert not entry.alive()
    assert entry.status() == state.STOPPED


@pytest.mark.parametrize("pid", [1 << 62, 1 << 21])
def test_a_process_that_never_was_is_none_that_began_at_0(entry: state.Entry, pid: int) -> None:
    entry.record = {"id": "web", "phase": state.RUNNING, "pid": pid, "start": 0, "creator": [pid, 0]}
    assert entry.status() == state.STOPPED
    assert not entry._being_made()


def test_without_a_pid_nothing_lives(entry: state.Entry) -> None:
    entry.record = {"id": "web", "phase": state.RUNNING, "pid": 0, "start": 0}
    assert entry.status() == state.STOPPED


def test_created_means_that_somebody_waits(entry: state.Entry) -> None:
    pid, began = me()
    entry.record = {"id": "web", "phase": state.CREATED, "pid": pid, "start": began}
    assert entry.status() == state.RUNNING
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as waiting:
        waiting.bind(entry.socket_address())
        waiting.listen(1)
        assert entry.status() == state.CREATED
    assert entry.status() == state.RUNNING


@pytest.mark.parametrize(("status", "pid"), [(state.CREATED, 7), (state.RUNNING, 7), (state.STOPPED, 0)])
def test_state_of_the_specification(entry: state.Entry, status: str, pid: int) -> None:
    entry.record = {"id": "web", "phase": state.CREATED, "pid": 7, "bundle": "/b", "annotations": {"k": "v"}}
    wanted: dict[str, Any] = {"ociVersion": SPEC_VERSION, "id": "web", "status": status, "pid": pid, "bundle": "/b"}
    assert entry.oci(status) == {**wanted, "annotations": {"k": "v"}}
    entry.record["annotations"] = {}
    assert entry.oci(status) == wanted


def test_removing_frees_the_id(entry: state.Entry, tmp_path: Path) -> None:
    entry.write("config.json", b"{}")
    entry.save()
    entry.remove()
    assert list((tmp_path / "root").iterdir()) == []
    os.close(state.claim(str(tmp_path / "root"), "web").fd)


def test_another_process_holds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = state.claim(str(tmp_path), "web")
    begin(made)
    os.close(made.fd)
    found = state.find(str(tmp_path), "web")
    holder = [sys.executable, "-c", HOLDER, str(tmp_path / "web")]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"held\n"
        monkeypatch.setattr(state, "_LOCK_SECONDS", 0.02)
        with pytest.raises(Failure, match=r"^another command holds the container's lock$"):
            found.lock()
        monkeypatch.setattr(state, "_LOCK_SECONDS", 20.0)
        child.communicate(timeout=20)
        found.lock()
    os.close(found.fd)


def test_a_folder_removed_while_waiting_for_the_lock(entry: state.Entry, tmp_path: Path) -> None:
    begin(entry)
    late = state.find(str(tmp_path / "root"), "web")
    entry.remove()
    holding, entry.fd = entry.fd, os.open(tmp_path, os.O_RDONLY)
    os.close(holding)
    with pytest.raises(Failure, match=r"^container does not exist$"):
        late.lock()
    os.close(late.fd)
