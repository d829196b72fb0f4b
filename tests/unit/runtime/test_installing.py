"""What `install` writes into the files of engines: the text stays, and comes back."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from ocirun import installing, log
from ocirun.errors import Failure
from ocirun.installing import Engine, Wish, containerd, members, podman, tables
from ocirun.installing.containerd import Containerd
from ocirun.installing.docker import Docker
from ocirun.installing.podman import Podman

if TYPE_CHECKING:
    from pathlib import Path

ENGINES = [Docker(), Containerd(), Podman()]
CRI = "io.containerd.grpc.v1.cri"
MINE = f"""\
# mine
version = 2
[plugins]
  [plugins."{CRI}".containerd]  # here
    default_runtime_name = "kata" # as ever
    snapshotter = "native"
  [plugins."{CRI}".containerd.runtimes.kata]
    runtime_type = "io.containerd.kata.v2"
    note = '''
[no table]
'''
"""


def wish(name: str = "ocirun", default: bool = True, systemd: bool | None = None) -> Wish:
    return Wish(name, "/usr/bin/ocirun", default, systemd)


TEXTS = {
    "docker": [
        "", "{}", "{ }\n", '{"dns": ["1.1.1.1"], "default-runtime": "kata"}', '{\n\t"runtimes": {}\n}\n',
        '{\r\n  "runtimes": {\r\n    "kata": {"path": "/k", "args": ["ä"]}\r\n  },\r\n  "debug": true\r\n}',
    ],
    "containerd": ["version = 2\n", MINE, MINE.replace("\n", "\r\n"), 'version = 3\n[grpc]\naddress = "/a"'],
    "podman": [
        "", "# none\n", "[containers]\ntz = 'a'\n", '[engine]\nruntime = "crun"\n\n[engine.runtimes]\nkata = ["/k"]\n',
    ],
}  # fmt: skip


@pytest.mark.parametrize(("word", "text"), [(word, text) for word, texts in TEXTS.items() for text in texts])
def test_what_is_added_can_be_taken_out(word: str, text: str) -> None:
    """Also without the record of the exact bytes, when the user has changed the file: his are kept, ours are gone."""
    engine = installing.engine(word)
    after = engine.add(text, wish(), "file")
    assert engine.default(after) == "ocirun"
    without = engine.strip(after, "ocirun", text, after)
    engine.check(without, "file")
    ended = text if not text or text.endswith(("\n", "}")) else text + "\n"
    if not (word == "docker" and '"runtimes"' not in text):  # blanks between brackets are nobody's
        assert without == ended
    assert engine.strip(without, "ocirun", text, after) == without


@pytest.mark.parametrize("engine", ENGINES, ids=lambda each: each.program)
def test_a_name_that_is_taken(engine: Engine) -> None:
    text = engine.add("", wish("mine"), "file")
    with pytest.raises(Failure, match="'mine' already"):
        engine.add(text, wish("mine"), "file")
    with pytest.raises(Failure, match="--name takes letters"):
        wish("a.b")


@pytest.mark.parametrize(
    ("engine", "text", "place"),
    [
        (Docker(), '{\n "a": 1,\n}', "file:3:1"),
        (Docker(), '{"a": 1, "a": 2}', "file:1:10"),
        (Docker(), "[]", "file:1:1"),
        (Containerd(), "version = 2\n x = [", "file:2:7"),
        (Podman(), "[engine]\nruntime = crun\n", "file:2:11"),
    ],
)
def test_a_broken_file(engine: Engine, text: str, place: str) -> None:
    for read in (lambda: engine.check(text, "file"), lambda: engine.add(text, wish(), "file")):
        with pytest.raises(Failure) as caught:
            read()
        assert caught.value.where == place


def test_docker_keeps_the_user_s_text() -> None:
    text = '{\n\t"dns": ["1.1.1.1", "8.8.8.8"],\n\t"runtimes": {"kata": {"path": "/k"}}\n}'
    assert Docker().add(text, wish(), "") == (
        '{\n\t"dns": ["1.1.1.1", "8.8.8.8"],\n'
        '\t"runtimes": {"kata": {"path": "/k"}, "ocirun": {"path": "/usr/bin/ocirun"}},\n'
        '\t"default-runtime": "ocirun"\n}'
    )
    with pytest.raises(Failure, match="keeps the name 'runc'"):
        Docker().add(text, wish("runc"), "")


def test_docker_s_default_that_was_changed_since_stays() -> None:
    before, after = '{"default-runtime": "kata"}', Docker().add('{"default-runtime": "kata"}', wish(), "")
    changed = members.put(after, "", "default-runtime", "other")
    assert Docker().strip(changed, "ocirun", before, after) == '{"default-runtime": "other"}'
    assert Docker().strip(after, "ocirun", None, None) == after


def test_containerd_keeps_the_user_s_text() -> None:
    after = Containerd().add(MINE, wish(), "")
    assert [line for line in MINE.splitlines() if line not in after.splitlines()] == [
        '    default_runtime_name = "kata" # as ever'
    ]
    found = tomllib.loads(after)["plugins"][CRI]["containerd"]
    assert sorted(found["runtimes"]) == ["kata", "ocirun"]
    assert found["snapshotter"] == "native"


@pytest.mark.parametrize(
    "text",
    [
        f'version = 2\nplugins."{CRI}".containerd.snapshotter = "native"\n',
        f'version = 2\nplugins = {{"{CRI}" = {{}}}}\n',
        f'version = 2\nnote = """\n[plugins."{CRI}".containerd]\n"""\n',
    ],
)
def test_a_file_to_which_nothing_can_be_added(text: str) -> None:
    with pytest.raises(Failure) as caught:
        Containerd().add(text, wish(), "file")
    assert f'[plugins."{CRI}".containerd' in caught.value.hint


def test_versions_of_containerd() -> None:
    found = tomllib.loads(Containerd().add("version = 3\n", wish(), ""))["plugins"]
    assert sorted(found["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"]) == ["ocirun", "runc"]
    assert Containerd().add("# nothing\n", wish(), "").startswith("version = 2\n# nothing\n")
    for text in ('disabled_plugins = ["cri"]', "version = 4", 'version = "2"'):
        with pytest.raises(Failure, match="of containerd's format"):
            Containerd().add(text, wish(), "")


@pytest.mark.parametrize(
    ("asked", "of_runc", "host", "expected"),
    [(None, "true", False, True), (None, "false", True, False), (None, "", True, True), (True, "false", False, True)],
)
def test_who_manages_containerd_s_cgroups(
    asked: bool | None, of_runc: str, host: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for, else as runc in this file, which is what the kubelet has been told, else as the host."""
    monkeypatch.setattr(containerd, "_by_systemd", lambda: host)
    options = f'[plugins."{CRI}".containerd.runtimes.runc.options]\nSystemdCgroup = {of_runc}\n' if of_runc else ""
    after = Containerd().add(f"version = 2\n{options}", wish(systemd=asked), "")
    runtimes = tomllib.loads(after)["plugins"][CRI]["containerd"]["runtimes"]
    assert runtimes["ocirun"]["options"] == {"BinaryName": "/usr/bin/ocirun", "SystemdCgroup": expected}


def test_runc_s_table_stays_beside_others() -> None:
    """containerd would have no runc, and its plugin would not start, if `undo` took it from beside another runtime."""
    first = Containerd().add("version = 2\n", wish(), "")
    both = Containerd().add(first, wish("second", default=False), "")
    left = Containerd().strip(both, "ocirun", None, None)
    assert sorted(tomllib.loads(left)["plugins"][CRI]["containerd"]["runtimes"]) == ["runc", "second"]
    assert Containerd().strip(left, "second", None, None) == "version = 2\n"


def test_a_disabled_plugin_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(log, "warning", told.append)
    Containerd().add(f'version = 2\ndisabled_plugins = ["{CRI}"]', wish(), "file")
    assert len(told) == 1


def test_podman_s_list_of_others_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last file that has one decides; files that are broken do not."""
    (tmp_path / "containers.conf.d").mkdir()
    for name, text in {
        "containers.conf": '[engine]\nruntime_supports_json = ["first"]\n',
        "containers.conf.d/1.conf": '[engine]\nruntime_supports_json = ["second", {append = true}]\n',
        "containers.conf.d/2.conf": "[engine",
        "containers.conf.d/3.conf": '[engine]\nruntime_supports_json = ["own"]\n',
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(podman, "_SYSTEM", (str(tmp_path),))
    after = Podman().add("", wish(), f"{tmp_path}/containers.conf.d/3.conf")
    assert tomllib.loads(after)["engine"]["runtime_supports_json"] == ["second", "ocirun"]


def test_a_default_goes_back_to_what_is_still_there() -> None:
    """Docker does not start with a default runtime that is not in the file."""
    first = Docker().add("{}", wish("one"), "")
    second = Docker().add(first, wish("two"), "")
    left = Docker().strip(second, "one", "{}", first)
    assert Docker().default(left) == "two"
    assert Docker().default(Docker().strip(left, "two", first, second)) is None
    assert Docker().default(Docker().strip(second, "two", first, second)) == "one"


@pytest.mark.parametrize("engine", [Containerd(), Podman()])
def test_nothing_is_put_between_another_name_s_marks(engine: Engine) -> None:
    """It would go with them."""
    first = engine.add("", wish("one"), "file")
    with pytest.raises(Failure, match="cannot be added"):
        engine.add(first, wish("two"), "file")


def test_tables_of_one_name_leave_the_other_s() -> None:
    text = tables.add("", "one", [(("a",), {"k": 1})], "")
    both = tables.add(text, "two", [(("b",), {"k": 2})], "")
    assert tomllib.loads(tables.strip(both, "one")) == {"b": {"k": 2}}
    assert tables.strip(both, "two") == text
