"""A plan as text, as JSON and as a diagram: it is all there, in the order in which it is done."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from support.bundle import default_config, with_hook, with_namespace, with_terminal

from ocirun.bundle import Bundle
from ocirun.explaining import document, mermaid, sequence, text
from ocirun_spec import accept, jsontext, rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.explaining.sequence import Phase
    from ocirun.plan import Plan

Config = dict[str, Any]

STATEMENT = re.compile(r"participant \w+ as [\w ]+|Note over \w+: [^;#]+|\w+->>\w+: [^;#]+")
"""What a line of a sequence diagram may be here; ``#59;`` and ``#35;`` are entities."""


def sample() -> Config:
    """Hooks of both sides, a terminal, and text that Mermaid would take for its own."""
    config = with_terminal(default_config("echo", "a;b"))
    config["hostname"] = "one"
    config["mounts"].append({"destination": "/d;#", "source": "/srv", "options": ["rbind", "ro"]})
    with_hook(config, "createRuntime", "/bin/one")
    with_hook(config, "createContainer", "/bin/two")
    with_hook(config, "poststart", "/bin/three")
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/run/listener",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    }
    return config


@pytest.fixture
def phases(composed: Callable[..., Plan]) -> Callable[[Config], list[Phase]]:
    return lambda config: sequence.phases(composed(config), config)


def test_every_step_is_there_in_order(composed: Callable[..., Plan]) -> None:
    plan = composed(sample())
    steps = [*plan.outside, *plan.adopt, *plan.inside, *plan.ready, *plan.launch]
    entries = [each for phase in sequence.phases(plan, sample()) for each in phase.entries if each.number]
    assert [each.number for each in entries] == list(range(1, len(steps) + 1))
    assert [each.step for each in entries] == steps


def test_messages_and_hooks_between_the_steps(phases: Callable[[Config], list[Phase]]) -> None:
    found = [(each.process, each.text) for phase in phases(sample()) for each in phase.entries if each.kind != "step"]
    assert found == [
        ("runtime", "make the container's process"),
        ("runtime", "GO"),
        ("init", "TERMINAL"),
        ("init", "HOOKS"),
        ("runtime", "createRuntime /bin/one"),
        ("runtime", "CONTINUE"),
        ("init", "READY"),
        ("runtime", "START"),
        ("init", "LISTENER"),
        ("runtime", "CONTINUE"),
        ("init", "end-of-file"),
        ("runtime", "poststart /bin/three"),
    ]


def test_text(phases: Callable[[Config], list[Phase]]) -> None:
    lines = text.render(phases(sample())).splitlines()
    at = next(at for at, line in enumerate(lines) if "set the hostname" in line)
    assert re.fullmatch(r" +\d+ set the hostname one +/hostname", lines[at])
    assert lines[at + 1] == '        sethostname("one")'
    assert "init: inside the container, until it is created" in lines
    assert "    * runtime runs the hook createRuntime /bin/one" in "\n".join(lines)
    assert len([line for line in lines if line.endswith(": mounts lie in the root")]) == 2  # one for each kind


def test_words_of_the_config_do_nothing_to_a_terminal(phases: Callable[[Config], list[Phase]]) -> None:
    config = default_config("\x1b[2J\u2028")
    config["mounts"].append({"destination": "/a\nb", "type": "tmpfs"})
    for shown in (text.render(phases(config)), mermaid.render(phases(config))):
        assert "/a\\x0ab" in shown
        assert all(line.isprintable() for line in shown.split("\n"))


def test_without_a_program(phases: Callable[[Config], list[Phase]]) -> None:
    config = default_config()
    del config["process"]
    assert [each.text for each in phases(config)[-1].entries][-1] == "READY"


def test_json(phases: Callable[[Config], list[Phase]]) -> None:
    made = document.document(Bundle("/b", "", {}), "web", phases(sample()))
    read = json.loads(jsontext.pretty(made))
    assert (read["id"], read["bundle"]) == ("web", "/b")
    entries = [each for phase in read["phases"] for each in phase["entries"]]
    (bound,) = [each for each in entries if each.get("step") == "mounts.copy_source"]
    assert bound["pointer"] == "/mounts/7"
    assert bound["calls"][:2] == [
        'open_tree("/srv", OPEN_TREE_CLONE|AT_RECURSIVE)', "mount_setattr(mount, AT_RECURSIVE, MS_SLAVE)",
    ]  # fmt: skip
    assert bound["arguments"][0] == "/srv"
    (groups,) = [each for each in entries if each.get("step") == "credentials.set_groups"]
    assert "while CAP_SETPCAP is there" in [each["why"] for each in groups["reasons"]]
    assert all(entries[0]["number"] <= each["after"] < groups["number"] for each in groups["reasons"])


def test_a_diagram(phases: Callable[[Config], list[Phase]]) -> None:
    first, *lines = mermaid.render(phases(sample())).splitlines()
    assert first == "sequenceDiagram"
    wrong = [line for line in lines if not STATEMENT.fullmatch(re.sub("#(59|35);", "", line.strip()))]
    assert wrong == []
    assert "    runtime->>hook: createRuntime /bin/one" in lines
    assert "    init->>runtime: READY" in lines
    assert "    Note over init: " in "\n".join(lines)
    assert any("/d#59;#35;" in line for line in lines)


def test_a_middle_process(phases: Callable[[Config], list[Phase]]) -> None:
    config = with_namespace(with_namespace(default_config(), "user", "/proc/7/ns/user"), "pid", "/proc/7/ns/pid")
    found = phases(config)
    assert [phase.process for phase in found[:3]] == ["runtime", "middle", "runtime"]
    assert [call for each in found[0].entries[-2:] for call in each.calls] == [
        'setns("/proc/7/ns/pid", CLONE_NEWPID)', "clone3(0, SIGCHLD, into the cgroup)",
    ]  # fmt: skip
    middle = [call for each in found[1].entries for call in each.calls]
    assert middle[0] == 'setns("/proc/7/ns/user", CLONE_NEWUSER)'
    assert middle[-1].endswith("|CLONE_PARENT)")
    assert "    participant middle as middle process" in mermaid.render(found)
    assert "    runtime->>middle: clone3(0, SIGCHLD, into the cgroup)" in mermaid.render(found)


def test_every_engines_config(phases: Callable[[Config], list[Phase]], engine_configs: dict[str, str]) -> None:
    for name, content in engine_configs.items():
        config = json.loads(content)
        assert accept.accept(config) is None, name
        assert rules.check(config) == [], name
        found = phases(config)
        assert text.render(found).startswith("runtime: "), name
        assert mermaid.render(found).startswith("sequenceDiagram\n"), name
        assert json.loads(jsontext.pretty(document.document(Bundle("/b", "", {}), "web", found)))["phases"], name
