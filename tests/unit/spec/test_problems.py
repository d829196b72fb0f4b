"""What a person is told about a config."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocirun_spec import rules
from ocirun_spec.accept import accept
from ocirun_spec.positions import Positions
from ocirun_spec.problems import explain

if TYPE_CHECKING:
    from ocirun_spec.problem import Problem

_TEXT = """{
  "ociVersion": "banana",
  "rootfsPropagation": "slave",
  "root": {"path": "rootfs"},
  "process": {
    "cwd": "tmp",
    "args": ["sh"],
    "capabilites": {},
    "capabilities": {"bounding": ["CAP_NET_BIND_SERVIC", "chown"]},
    "rlimits": [{"type": "RLIMIT_NOFIL", "soft": 1, "hard": 2}],
    "user": {"uid": "0"},
    "terminal": "true",
    "noNewPrivileges": null
  },
  "mounts": [{"destination": "/x", "options": ["noexe", "mode=755"]}, {"type": "tmpfs"}],
  "linux": {
    "maskedPath": [],
    "namespaces": [{"type": "net"}],
    "devices": [{"path": "/dev/x", "type": "c", "major": 1.0, "minor": 2}]
  }
}"""


def _by_pointer(problems: list[Problem]) -> dict[str, Problem]:
    return {problem.pointer: problem for problem in problems}


def test_everything_is_told_at_once() -> None:
    problems = explain(_TEXT, "config.json")
    found = [(p.line, p.column, p.severity, p.pointer, p.hint) for p in problems]
    assert found == [
        (2, 17, "error", "/ociVersion", ""),
        (3, 3, "warning", "/rootfsPropagation", "the specification has /linux/rootfsPropagation"),
        (6, 12, "error", "/process/cwd", ""),
        (8, 5, "warning", "/process/capabilites", "did you mean capabilities?"),
        (9, 35, "warning", "/process/capabilities/bounding/0", "did you mean CAP_NET_BIND_SERVICE?"),
        (9, 58, "warning", "/process/capabilities/bounding/1", "did you mean CAP_CHOWN?"),
        (10, 26, "error", "/process/rlimits/0/type", "did you mean RLIMIT_NOFILE?"),
        (11, 21, "error", "/process/user/uid", "write the number without quotes, and in decimal"),
        (12, 17, "error", "/process/terminal", "write true without quotes"),
        (13, 24, "error", "/process/noNewPrivileges", "leave the member out instead of setting it to null"),
        (15, 48, "warning", "/mounts/0/options/0", "did you mean noexec?"),
        (15, 71, "error", "/mounts/1/destination", ""),
        (17, 5, "warning", "/linux/maskedPath", "did you mean maskedPaths?"),
        (18, 29, "error", "/linux/namespaces/0/type", "did you mean network?"),
        (19, 58, "error", "/linux/devices/0/major", "write 1"),
    ]
    expected = _by_pointer(problems)["/linux/namespaces/0/type"].expected
    assert expected == "one of pid, network, mount, ipc, uts, user, cgroup, time"


def test_a_problem_is_rendered_with_place_and_hint() -> None:
    problem = _by_pointer(explain(_TEXT, "/b/config.json"))["/process/user/uid"]
    assert problem.render() == (
        '/b/config.json:11:21: /process/user/uid: "0" is not allowed here\n'
        "    expected: an integer from 0 to 4294967295\n"
        "    hint: write the number without quotes, and in decimal"
    )
    warning = _by_pointer(explain(_TEXT, "c"))["/linux/maskedPath"]
    assert warning.render().startswith("c:17:5: warning: /linux/maskedPath: unknown property, it is ignored")


def test_broken_text_is_shown_with_a_caret() -> None:
    (problem,) = explain('{"ociVersion": "1.0.0",\n "root": {"path": "x"},}', "c")
    assert (problem.line, problem.column) == (2, 24)
    assert problem.render().splitlines()[1:] == ['     "root": {"path": "x"},}', " " * 27 + "^"]


def test_duplicate_keys_do_not_hide_the_rest() -> None:
    text = (
        '{"ociVersion": "1.0.0", "root": {"path": "x"}, "process": {"cwd": "a", "args": ["x"]}, "root": {"path": ""}}'
    )
    messages = [(problem.pointer, problem.message) for problem in explain(text, "c")]
    assert ("", 'the key "root" appears twice in one object') in messages
    assert ("/root/path", "the path of the root filesystem is empty") in messages
    assert any(pointer == "/process/cwd" for pointer, _ in messages)


@pytest.mark.parametrize("text", ["", "[]", "null", "3", '"x"', "[" * 100_000, "{", '{"ociVersion":', "{}"])
def test_any_text_has_an_explanation(text: str) -> None:
    problems = explain(text, "c")
    assert problems
    assert all(problem.render().startswith("c:") for problem in problems)


def test_each_missing_member_and_each_unknown_item_is_told() -> None:
    mounts = [{"destination": "/a"}, {"destination": "/b", "option": []}]
    config = {"ociVersion": "1.0.0", "root": {"path": "x"}, "mounts": mounts, "linux": {"uidMappings": [{"size": 1}]}}
    problems = _by_pointer(explain(json.dumps(config), "c"))
    assert problems["/mounts/1/option"].hint == "did you mean options?"
    assert problems["/linux/uidMappings/0/hostID"].message == "the member hostID is missing"
    assert problems["/linux/uidMappings/0/containerID"].message == "the member containerID is missing"


def test_configs_of_engines_have_no_errors(engine_configs: dict[str, dict[str, Any]]) -> None:
    for name, config in engine_configs.items():
        problems = explain(json.dumps(config, indent=4), name)
        assert [problem.render() for problem in problems] == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@settings(deadline=None)
@given(_JSON, st.sampled_from([None, 1, 4]), st.sampled_from([(",", ":"), (" , ", " : ")]))
def test_positions_lead_to_every_value(value: Any, indent: int | None, separators: tuple[str, str]) -> None:
    text = json.dumps(value, indent=indent, separators=separators)
    positions = Positions(text)
    reader = json.JSONDecoder()
    for pointer, offset in positions.values.items():
        target = value
        for token in pointer.split("/")[1:]:
            name = token.replace("~1", "/").replace("~0", "~")
            target = target[int(name)] if isinstance(target, list) else target[name]
        assert reader.raw_decode(text, offset)[0] == target
    for offset in positions.keys.values():
        assert text[offset] == '"'


_MEMBERS = ("root", "process", "mounts", "hooks", "annotations", "linux", "hostname", "ociVersion")
_PLACES = st.sampled_from(
    [
        *((name,) for name in _MEMBERS),
        *(
            ("linux", name)
            for name in (
                "namespaces",
                "devices",
                "resources",
                "seccomp",
                "uidMappings",
                "sysctl",
                "maskedPaths",
                "timeOffsets",
            )
        ),
    ]
)


@settings(deadline=None, max_examples=60)
@given(place=_PLACES, value=_JSON)
def test_a_refused_config_always_has_an_error(place: tuple[str, ...], value: Any) -> None:
    config: Any = {"ociVersion": "1.0.0", "root": {"path": "x"}, "linux": {"namespaces": [{"type": "uts"}]}}
    holder = config
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = value
    errors = [p for p in explain(json.dumps(config), "c") if p.severity == "error" and p.pointer]
    refused = accept(config) is not None or bool(rules.check(config))
    assert bool(errors) == refused
