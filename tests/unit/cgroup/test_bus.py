"""What is said over D-Bus, against a manager of our own on a socket: answers, refusals, jobs, silence."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from jeepney import HeaderFields, Message, Parser, new_error, new_method_return, new_signal
from jeepney.wrappers import DBusAddress

from ocirun.errors import Failure
from ocirun.journal import Journal
from ocirun.linux.cgroup import devices_v1, hierarchy, limits, systemd
from ocirun.linux.cgroup.hierarchy import Hierarchies, Hierarchy
from ocirun.linux.cgroup.systemd import bus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

JOB = "/org/freedesktop/systemd1/job/7"
MANAGER = DBusAddress("/org/freedesktop/systemd1", bus.SYSTEMD, f"{bus.SYSTEMD}.Manager")
Answers = list[Any]


class Manager:
    """Accepts connections one after the other, and answers each call of `answers` with what stands there for it.

    A tuple is (signature, body); a pair of strings below ``error`` is an error; ``None`` is silence. A job's call is
    followed by JobRemoved with the result that `result` has.
    """

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, Answers] = {}
        self.result = "done"
        self.calls: list[tuple[str, Any]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """End the thread, whose accept(2) then fails."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10.0)
        self._listener.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                link, _address = self._listener.accept()
            except OSError:
                return
            with link:
                self._converse(link)

    def _converse(self, link: socket.socket) -> None:
        said = b""
        while not said.endswith(b"BEGIN\r\n"):
            said += link.recv(4096)
        assert said == b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
        link.sendall(b"DATA\r\nOK 0123456789abcdef\r\n")
        parser = Parser()
        while data := link.recv(4096):
            parser.add_data(data)
            while (message := parser.get_next_message()) is not None:
                self._answer(link, message)

    def _answer(self, link: socket.socket, call: Message) -> None:
        member = call.header.fields[HeaderFields.member]
        self.calls.append((member, call.body))
        waiting = self.answers.get(member) or [("", ())]
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if answer is None:
            return
        if answer[0] == "error":
            link.sendall(new_error(call, answer[1], "s", (answer[2],)).serialise(1))
            return
        if answer == JOB:
            removed = new_signal(MANAGER, "JobRemoved", "uoss", (7, JOB, "x.scope", self.result))
            link.sendall(new_method_return(call, "o", (JOB,)).serialise(1) + removed.serialise(2))
            return
        link.sendall(new_method_return(call, answer[0] or None, answer[1]).serialise(1))


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A manager that is the only one that is found."""
    path = tmp_path / "private"
    found = Manager(path)
    found.answers = {"StartTransientUnit": [JOB], "StopUnit": [JOB]}
    monkeypatch.setattr(bus, "places", lambda _user: [(str(tmp_path / "missing"), True), (str(path), True)])
    monkeypatch.setattr(bus, "_SECONDS", 0.5)
    monkeypatch.setattr(systemd, "_SECONDS", 0.1)
    yield found
    found.close()


def settings(resources: dict[str, Any]) -> list[limits.Setting]:
    return limits.settings(resources, lambda _controller: True)


UNIT = systemd.Unit("x.scope", False, [("Slice", ("s", "test.slice"))], [("MemoryMax", ("t", 9))])
RECORD = {"unit": "x.scope", "user": False, "paths": {"unified": "/nowhere/x.scope"}}


def start(unit: systemd.Unit = UNIT) -> None:
    with bus.connect(False) as link:
        systemd._start(link, unit, 42)


def test_a_unit_is_started_with_its_process(manager: Manager) -> None:
    start()
    ((member, body),) = manager.calls
    assert (member, body[:2]) == ("StartTransientUnit", ("x.scope", "replace"))
    assert body[2] == [("Slice", ("s", "test.slice")), ("PIDs", ("au", [42])), ("MemoryMax", ("t", 9))]


def test_a_job_that_fails_is_said(manager: Manager) -> None:
    manager.result = "failed"
    with pytest.raises(Failure, match=r"start the unit x\.scope: systemd's job ended with the result failed"):
        start()


def test_systemd_s_words_are_said(manager: Manager) -> None:
    manager.answers["StartTransientUnit"] = [("error", "org.x.Bad", "Unit name x.scope is not valid.")]
    with pytest.raises(Failure, match=r"systemd says: unit name x\.scope is not valid$") as caught:
        start()
    assert caught.value.where == "/linux/cgroupsPath"


def test_limits_that_systemd_does_not_take_are_left_to_the_kernel(
    manager: Manager, capfd: pytest.CaptureFixture[str]
) -> None:
    refusal = ("error", "org.x.Bad", "Cannot set property MemoryMax, or unknown property.")
    manager.answers["StartTransientUnit"] = [refusal, JOB]
    start()
    assert [dict(body[2]).get("MemoryMax") for _member, body in manager.calls] == [("t", 9), None]
    assert "does not take them: Cannot set property MemoryMax" in capfd.readouterr().err
    manager.answers["SetUnitProperties"] = [refusal]
    systemd.apply(RECORD, [("TasksMax", ("t", 0))])
    assert "the unit x.scope are in its cgroup's files alone" in capfd.readouterr().err


def test_a_silent_systemd_is_not_waited_for_without_end(manager: Manager) -> None:
    manager.answers["StartTransientUnit"] = [None]
    with pytest.raises(Failure, match=r"start the unit x\.scope: wait for systemd"):
        start()


EXISTS = ("error", "org.freedesktop.systemd1.UnitExists", "Unit x.scope already exists.")


def test_a_dead_unit_of_the_same_name_is_waited_for(manager: Manager) -> None:
    manager.answers["StartTransientUnit"] = [EXISTS, EXISTS, JOB]
    manager.answers["GetUnit"] = [("o", ("/unit",))]
    manager.answers["Get"] = [("v", (("s", "failed"),)), ("v", (("s", "inactive"),))]
    start()
    called = [member for member, _body in manager.calls]
    assert called.count("StartTransientUnit") == 3
    assert called.count("ResetFailedUnit") == 1


@pytest.mark.parametrize("state", ["active", "inactive"])
def test_a_unit_that_stays_is_somebody_else_s(manager: Manager, state: str) -> None:
    """A dead one that systemd does not forget is waited for, with an end."""
    manager.answers["StartTransientUnit"] = [EXISTS]
    manager.answers["GetUnit"] = [("o", ("/unit",))]
    manager.answers["Get"] = [("v", (("s", state),))]
    with pytest.raises(Failure, match=r"unit x\.scope already exists"):
        start()


def test_stopping(manager: Manager) -> None:
    assert systemd.stop(RECORD) == ""
    manager.answers["StopUnit"] = [("error", "org.freedesktop.systemd1.NoSuchUnit", "Unit x.scope not loaded.")]
    assert systemd.stop(RECORD) == ""
    manager.answers["StopUnit"] = [("error", "org.x.Denied", "Access denied")]
    assert systemd.stop(RECORD) == "stop the unit x.scope: systemd says: access denied"


@pytest.mark.parametrize("inhabited", [True, False])
def test_what_a_killed_runtime_has_begun_is_stopped_unless_it_is_somebody_else_s(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inhabited: bool
) -> None:
    (tmp_path / "x.scope").mkdir()
    (tmp_path / "x.scope" / "cgroup.procs").write_text("42\n" if inhabited else "")
    found = Hierarchies([], Hierarchy((), str(tmp_path), "/"))
    monkeypatch.setattr(hierarchy, "discover", lambda: found)
    manager.answers["GetUnit"] = [("o", ("/unit",))]
    manager.answers["Get"] = [("v", (("s", "/x.scope"),))]
    assert systemd.stop({**RECORD, "paths": {}}) == ""
    assert ("StopUnit" in [member for member, _body in manager.calls]) != inhabited


def test_properties_are_set_for_the_unit_s_life(manager: Manager) -> None:
    systemd.apply(RECORD, [("TasksMax", ("t", 5))])
    assert manager.calls == [("SetUnitProperties", ("x.scope", True, [("TasksMax", ("t", 5))]))]
    systemd.apply(RECORD, [])
    assert len(manager.calls) == 1


def test_a_change_can_be_taken_back(manager: Manager) -> None:
    """Also to what nobody had set."""
    journal = Journal()
    before = settings({"memory": {"limit": 5 << 20, "reservation": 1 << 20}})
    after = settings({"memory": {"limit": 9 << 20}, "unified": {"memory.min": "4096", "cpuset.cpus": "0"}})
    systemd.change(RECORD, before, after, None, journal)
    assert journal.take_back() == []
    first, second = ({name: value for name, (_kind, value) in body[2]} for _member, body in manager.calls)
    assert first == {"MemoryMax": 9 << 20, "MemoryMin": 4096, "AllowedCPUs": b"\x01"}
    assert second == {"MemoryMax": 5 << 20, "MemoryMin": 0, "AllowedCPUs": b""}


def test_devices_are_replaced_and_not_added(manager: Manager) -> None:
    journal = Journal()
    before = devices_v1.rules({})
    after = devices_v1.rules({"devices": [{"allow": True, "type": "c", "major": 10, "minor": 229}]})
    systemd.change(RECORD, [], [], (before, after), journal)
    journal.take_back()
    for (_member, body), there in zip(manager.calls, (True, False), strict=True):
        (_policy, empty, full) = body[2]
        assert empty == ("DeviceAllow", ("a(ss)", []))
        assert (("/dev/char/10:229", "rwm") in full[1][1]) == there


def test_a_bus_is_greeted_and_told_what_to_pass_on(manager: Manager, tmp_path: Path) -> None:
    with bus.Bus(str(tmp_path / "private"), False):
        pass
    assert [member for member, _body in manager.calls] == ["Hello", "AddMatch", "Subscribe"]


def test_without_a_manager_each_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "places", lambda _user: [(str(tmp_path / "a"), True), (str(tmp_path / "b"), False)])
    with pytest.raises(Failure, match=r"reach systemd: .*/a: no such file or directory; .*/b: no such file") as caught:
        bus.connect(False)
    assert "without --systemd-cgroup" in caught.value.hint


@pytest.fixture
def setenv(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The variables that decide on places."""

    def change(**values: str) -> None:
        for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "DBUS_SYSTEM_BUS_ADDRESS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return change


def test_places(setenv: Callable[..., None]) -> None:
    setenv()
    assert bus.places(False) == [("/run/systemd/private", True), ("/var/run/dbus/system_bus_socket", False)]
    assert bus.places(True) == []
    setenv(XDG_RUNTIME_DIR="/r")
    assert bus.places(True) == [("/r/bus", False), ("/r/systemd/private", True)]
    setenv(XDG_RUNTIME_DIR="/r", DBUS_SESSION_BUS_ADDRESS="unix:path=/r/bus,guid=1")
    assert bus.places(True) == [("/r/bus", False), ("/r/systemd/private", True)]
    setenv(XDG_RUNTIME_DIR="/r", DBUS_SESSION_BUS_ADDRESS="unix:abstract=/x")
    assert bus.places(True)[0] == ("\0/x", False)
    for address in ("nonsense", "tcp:host=localhost"):
        setenv(DBUS_SESSION_BUS_ADDRESS=address, DBUS_SYSTEM_BUS_ADDRESS=address)
        assert bus.places(True) == []
        assert bus.places(False) == [("/run/systemd/private", True)]
