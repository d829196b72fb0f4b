"""Unknown properties and versions, annotations, other platforms: what is ignored aloud, what is kept, what is refused
(config.md, Specification version, Platform-specific configuration, Annotations, Extensibility, Valid values)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence
from support.bundle import default_config, with_hook, with_shell
from support.command import run_command

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged]

UNKNOWN: list[tuple[str, str]] = [
    # where it is put, what is said to help
    ("/hostnam", "did you mean hostname?"),
    ("/process/arg", "did you mean args?"),
    ("/process/user/gidd", "did you mean gid?"),
    ("/root/readOnly", "did you mean readonly?"),
    ("/mounts/0/optoins", "did you mean options?"),
    ("/linux/namespaces/0/pth", "did you mean path?"),
    ("/linux/resources/memroy", "did you mean memory?"),
    ("/linux/hostname", "the specification has /hostname"),
    ("/hooks/createruntime", "did you mean createRuntime?"),
    ("/hooks/poststop/0/timeot", "did you mean timeout?"),
    ("/com.example.own", ""),
]


def warnings(result: Result) -> list[str]:
    return [line["msg"] for line in result.log if line["level"] == "warning"]


def with_everything(box: Box) -> Config:
    """A place for each of them."""
    config = with_shell(box.with_shared(default_config()), "echo ran")
    return with_hook(config, "poststop", "/bin/true")


@pytest.mark.parametrize(("pointer", "hint"), UNKNOWN)
def test_an_unknown_property_is_ignored_with_a_warning(box: Box, pointer: str, hint: str) -> None:
    config = changed(with_everything(box), pointer, {"any": ["thing", 1, None]})
    created = box.create(config).ok()
    assert warnings(created) == [f"{pointer}: unknown property, it is ignored" + (f"; {hint}" if hint else "")]
    assert created.err == "", "it is in the log"
    started = box.runtime.start(box.ident).ok()
    box.runtime.wait_status(box.ident, "stopped")
    deleted = box.runtime.delete(box.ident).ok()
    assert (created.out, warnings(started), warnings(deleted)) == ("ran\n", [], [])


def test_nothing_is_asked_of_what_an_unknown_property_holds(box: Box) -> None:
    """As a hook of a known kind it would be refused."""
    config = changed(default_config(), "/hooks/createruntime", [{"path": "relative", "timeout": 0, "env": 5}])
    assert [text.partition(": ")[0] for text in warnings(box.run(config).ok())] == ["/hooks/createruntime"]


def test_every_unknown_property_is_told(box: Box) -> None:
    config = with_everything(box)
    for pointer, _hint in UNKNOWN:
        changed(config, pointer, "x")
    found = warnings(box.run(config).ok())
    assert sorted(text.partition(": ")[0] for text in found) == sorted(pointer for pointer, _hint in UNKNOWN)


def test_a_config_without_unknown_properties_is_no_cause_for_warnings(box: Box) -> None:
    assert box.run(with_everything(box)).ok().log == []


@pytest.mark.parametrize(
    ("options", "start", "end"),
    [
        (["--log-format", "json"], '{"level":"warning","msg":"/hostnam: unknown property, ', '"}'),
        (["--log-format", "text"], 'time="', 'msg="/hostnam: unknown property, it is ignored; did you mean hostname?"'),
        ([], 'time="', 'msg="/hostnam: unknown property, it is ignored; did you mean hostname?"'),
    ],
    ids=["json", "text", "default"],
)
def test_the_formats_of_the_log(box: Box, options: list[str], start: str, end: str) -> None:
    log = box.directory / "log"
    box.write(changed(default_config(), "/hostnam", "x"))
    line = [str(box.runtime.path), "--root", str(box.runtime.root), "--log", str(log), *options]
    done = run_command([*line, "run", "--bundle", str(box.bundle), box.ident], box.directory / "out").ok()
    (said,) = log.read_text().splitlines()
    assert said.startswith(start)
    assert said.endswith(end)
    assert done.err == ""
    if options[-1:] == ["json"]:
        assert set(json.loads(said)) == {"level", "msg", "time"}


def test_without_a_log_the_warning_is_on_standard_error(box: Box) -> None:
    box.write(changed(default_config(), "/hostnam", "x"))
    line = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "--bundle", str(box.bundle), box.ident]
    err = run_command(line, box.directory / "out").ok().err
    assert err == "ocirun: warning: /hostnam: unknown property, it is ignored; did you mean hostname?\n"


def test_exec_warns_of_what_its_process_has(box: Box) -> None:
    box.start_sleeper()
    process = {"args": ["echo", "ran"], "cwd": "/", "arsg": [], "user": {"uidd": 1}}
    result = box.runtime.exec_process(box.ident, process).ok()
    assert result.out == "ran\n"
    assert sorted(text.partition(": ")[0] for text in warnings(result)) == ["/arsg", "/user/uidd"]


def test_unknown_annotations_are_kept_and_change_nothing(box: Box) -> None:
    """Reserved names and names without a domain too; a value may be empty; it is for others to read."""
    annotations = {
        "com.example.gpu-cores": "2",
        "org.opencontainers.image.os": "linux",
        "org.opencontainers.unknown": "x",
        "run.oci.unknown": "x",
        "plain": "",
        "ä/~ \u2028": "😀",
    }
    result = box.create({**default_config(), "annotations": annotations}).ok()
    assert result.log == []
    assert box.runtime.state(box.ident)["annotations"] == annotations


@pytest.mark.parametrize("annotations", [{}, None])
def test_no_annotations(box: Box, annotations: dict[str, str] | None) -> None:
    config = default_config() if annotations is None else {**default_config(), "annotations": annotations}
    box.create(config).ok()
    assert box.runtime.state(box.ident).get("annotations", {}) == {}


def refused(box: Box, config: Config, where: str, words: str) -> None:
    """`create` and `run` say no, and nothing is there afterwards."""
    box.write(config)
    before = box.snapshot()
    for command in ("create", "run"):
        sentence = one_sentence(box.runtime.call(command, "--bundle", str(box.bundle), box.ident).expect(1))
        assert f"{where}: " in sentence
        assert words in sentence
    assert box.runtime.list() == []
    before.assert_unchanged()


@pytest.mark.parametrize(
    ("annotations", "where", "words"),
    [
        ({"": "x"}, "/annotations/", "empty"),
        ({"k": 1}, "/annotations/k", ""),
        ({"k": None}, "/annotations/k", ""),
        ({"k": {"deep": "x"}}, "/annotations/k", ""),
        ([["k", "v"]], "/annotations", ""),
        ("k=v", "/annotations", ""),
    ],
)
def test_annotations_are_a_map_of_named_strings(box: Box, annotations: Any, where: str, words: str) -> None:
    refused(box, {**default_config(), "annotations": annotations}, where, words)


@pytest.mark.parametrize("version", ["1.0.0", "1.0.2-dev", "1.1.0+build.5", "1.2.0-rc.1", "1.3.0", "1.3.7"])
def test_versions_that_are_known(box: Box, version: str) -> None:
    result = box.run(changed(default_config(), "/ociVersion", version)).ok()
    assert result.log == []


@pytest.mark.parametrize("version", ["1.4.0", "1.4.0-rc.1", "1.30.2"])
def test_a_newer_minor_version_is_a_warning(box: Box, version: str) -> None:
    """Releases are compatible within the major version; only what the newer ones have added is not known."""
    result = box.run(changed(with_shell(default_config(), "echo ran"), "/ociVersion", version)).ok()
    assert result.out == "ran\n"
    (said,) = warnings(result)
    assert said.startswith(f"/ociVersion: the configuration is made for version {version} ")
    assert "newer than 1.3.0" in said


@pytest.mark.parametrize("version", ["0.9.9", "2.0.0", "10.3.0", "2.0.0-alpha"])
def test_another_major_version_is_refused(box: Box, version: str) -> None:
    refused(box, changed(default_config(), "/ociVersion", version), "/ociVersion", "only 1.x is supported")


@pytest.mark.parametrize(
    "version", ["", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", " 1.0.0", "1.0.x", "dev"]
)
def test_what_is_no_semantic_version_is_refused(box: Box, version: str) -> None:
    refused(box, changed(default_config(), "/ociVersion", version), "/ociVersion", "SemVer 2.0.0")


@pytest.mark.parametrize("version", [1.0, 1, None, ["1.0.0"]])
def test_a_version_is_a_string(box: Box, version: object) -> None:
    refused(box, changed(default_config(), "/ociVersion", version), "/ociVersion", "")


@pytest.mark.parametrize("platform", ["windows", "solaris", "vm", "zos", "freebsd"])
def test_what_configures_another_platform_is_refused(box: Box, platform: str) -> None:
    config = {**default_config(), platform: {"layerFolders": ["C:\\Layers\\layer1"], "milestone": "svc:/x"}}
    refused(box, config, f"/{platform}", f"made for {platform}, not for Linux")


@pytest.mark.parametrize(
    ("find", "replacement"),
    [
        ('"hostname": "unit"', '"hostname": "unit", "hostname": "unit"'),
        ('"terminal": false', '"terminal": false, "terminal": true'),
        ('"type": "pid"', '"type": "pid", "type": "user"'),
        ('"destination": "/proc"', '"destination": "/proc", "destination": "/sys"'),
        ('"k": "v"', '"k": "v", "k": "w"'),
        ('"k": "v"', '"k": "v", "\\u006b": "w"'),
    ],
)
def test_a_key_that_is_given_twice_is_refused(box: Box, find: str, replacement: str) -> None:
    """At any depth and in any spelling: JSON leaves open which of them counts."""
    text = (box.write({**default_config(), "annotations": {"k": "v"}}) / "config.json").read_text()
    assert find in text
    (box.bundle / "config.json").write_text(text.replace(find, replacement, 1))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.create(box.ident, box.bundle).expect(1))
    assert "twice" in sentence
    assert f"{box.bundle}/config.json:" in sentence
    before.assert_unchanged()


def test_names_of_a_container_without_its_own_uts_namespace_are_the_hosts(box: Box) -> None:
    """They would be changed for everybody: refused instead."""
    for name in ("hostname", "domainname"):
        config = default_config()
        del config["hostname"]
        config[name] = "other"
        config["linux"]["namespaces"] = [row for row in config["linux"]["namespaces"] if row["type"] != "uts"]
        refused(box, config, f"/{name}", "uts namespace")
