"""Who does what when: the plan's steps, numbered, and between them the clones, the messages and the runtime's hooks.

It is what `parent`, `init` and `sync` do with a plan, in their order.
"""

from __future__ import annotations

from ocirun.explaining.calls import calls
from ocirun.explaining.order import reasons
from ocirun.explaining.words import namespaces, quoted, sentence
from ocirun.kernel import process as kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.linux.namespaces import Namespaces
    from ocirun.plan import Plan
    from ocirun.steps import Step

    Config = dict[str, Any]

RUNTIME: Final = "runtime"
MIDDLE: Final = "middle"
INIT: Final = "init"
LISTS: Final = (
    ("outside", RUNTIME, "outside, before the container's process is there"),
    ("adopt", RUNTIME, "once the container's process is there and waits"),
    ("inside", INIT, "inside the container, until it is created"),
    ("ready", RUNTIME, "when the container is created"),
    ("launch", INIT, "when it is started"),
)
"""The plan's lists in the order in which they are done: name, process, when."""


class Entry:
    """One thing that a process does.

    kind:     ``step``, ``call`` (what belongs to no step), ``message`` or ``hook``.
    process:  who does it; of a message the sender.
    text:     in words; the message's name.
    number:   a step's, from 1 in the order of execution; 0 for all else.
    reasons:  (the number of the last step that has to come before, why).
    receiver: of a message.
    """

    __slots__ = ("calls", "kind", "number", "pointer", "process", "reasons", "receiver", "step", "text")

    def __init__(self, kind: str, process: str, text: str, pointer: str = "", receiver: str = "") -> None:
        self.kind = kind
        self.process = process
        self.text = text
        self.pointer = pointer
        self.receiver = receiver
        self.number = 0
        self.calls: list[str] = []
        self.reasons: list[tuple[int, str]] = []
        self.step: Step | None = None


class Phase:
    """What one process does until another one has to be waited for."""

    __slots__ = ("entries", "name", "process", "when")

    def __init__(self, name: str, process: str, when: str, entries: list[Entry]) -> None:
        self.name = name
        self.process = process
        self.when = when
        self.entries = entries


def name_of(step: Step) -> str:
    """Subsystem and function, which `calls` and `order` know it by."""
    return f"{step.room}.{step.deed}"


def numbered(plan: Plan) -> list[tuple[str, int, Step]]:
    """(the list's name, number, step) of every step, in the order of execution."""
    every = [(name, step) for name, _process, _when in LISTS for step in getattr(plan, name)]
    return [(name, number, step) for number, (name, step) in enumerate(every, 1)]


def phases(plan: Plan, config: Config) -> list[Phase]:
    """The whole sequence of a `run`; a `create` is the same up to START, which is then said by `start`."""
    steps = numbered(plan)
    latest = {name_of(step): number for _list, number, step in steps}
    found = {name: Phase(name, process, when, []) for name, process, when in LISTS}
    for name, number, step in steps:
        entry = Entry("step", found[name].process, sentence(step), step.pointer)
        entry.number, entry.step = number, step
        entry.calls = calls(step)
        entry.reasons = [(latest[before], why) for before, why in reasons(name_of(step), latest)]
        found[name].entries += [entry, *_answers(step, config)]
    spaces: Namespaces = plan.namespaces  # type: ignore[assignment]  # `exec` is not explained
    middle = _middle(spaces)
    found["outside"].entries += _clone(spaces)
    found["adopt"].entries.append(_said(RUNTIME, INIT, "GO"))
    found["inside"].entries.append(_said(INIT, RUNTIME, "READY"))
    ordered = list(found.values())
    if middle:
        ordered.insert(1, middle)
    if plan.launch:
        found["ready"].entries.append(_said(RUNTIME, INIT, "START"))
        last = Phase("running", RUNTIME, "when the program runs", _hooks(config, "poststart"))
        found["launch"].entries.append(_said(INIT, RUNTIME, "end-of-file"))
        ordered.append(last)
    return [phase for phase in ordered if phase.entries]


def _said(sender: str, receiver: str, name: str) -> Entry:
    return Entry("message", sender, name, receiver=receiver)


def _asked(process: str, text: str, call: str) -> Entry:
    entry = Entry("call", process, text, "/linux/namespaces")
    entry.calls = [call]
    return entry


def _hooks(config: Config, stage: str) -> list[Entry]:
    hooks: list[Config] = (config.get("hooks") or {}).get(stage) or []
    return [Entry("hook", RUNTIME, f"{stage} {hook['path']}", f"/hooks/{stage}/{at}") for at, hook in enumerate(hooks)]


def _answers(step: Step, config: Config) -> list[Entry]:
    """What is said and done because of a step."""
    name = name_of(step)
    if name == "lifecycle.ask_for_hooks":
        run = [*_hooks(config, "prestart"), *_hooks(config, "createRuntime")]
        return [_said(INIT, RUNTIME, "HOOKS"), *run, _said(RUNTIME, INIT, "CONTINUE")]
    if name == "console.open_pty" and step.args[0] is None:
        return [_said(INIT, RUNTIME, "TERMINAL")]
    if name == "seccomp.load" and step.do.__module__.endswith(".notify"):
        return [_said(INIT, RUNTIME, "LISTENER"), _said(RUNTIME, INIT, "CONTINUE")]
    return []


def _clone(spaces: Namespaces) -> list[Entry]:
    """The runtime's clone, between the namespaces that it enters for its child alone."""
    entered = [
        _asked(RUNTIME, f"enter {step.args[1]} for its child", f"setns({quoted(step.args[1])}, {namespaces(flag)})")
        for flag, step in spaces.opened.items()
        if flag & (kernel.CLONE_NEWPID | kernel.CLONE_NEWTIME)
    ]
    what = "make the middle process" if spaces.needs_middle else "make the container's process"
    flags = "0" if spaces.needs_middle else namespaces(spaces.new)
    return [*entered, _asked(RUNTIME, what, f"clone3({flags}, SIGCHLD, into the cgroup)")]


def _middle(spaces: Namespaces) -> Phase | None:
    """The process that joins what cannot be joined otherwise; None when none is needed."""
    if not spaces.needs_middle:
        return None
    user = [step for flag, step in spaces.opened.items() if flag == kernel.CLONE_NEWUSER]
    entries = [
        _asked(MIDDLE, f"join {step.args[1]}", f"setns({quoted(step.args[1])}, {namespaces(step.args[0])})")
        for step in [*spaces.in_order(), *user]
    ]
    flags = f"{namespaces(spaces.new)}|CLONE_PARENT" if spaces.new else "CLONE_PARENT"
    entries.append(_asked(MIDDLE, "make the container's process as the runtime's child", f"clone3({flags})"))
    return Phase(MIDDLE, MIDDLE, "joins namespaces and ends", [*entries, _said(MIDDLE, RUNTIME, "PID")])
