"""What of a plan makes a difference: one `Effect` for each thing that the container has, whoever does it and when.

Rules: two effects are the same when their `key`s are. A key leaves nothing out but what belongs to the host, and what
another effect says already (SAID). Where the kernel has no order, or a default, the key has none either: sets are
sorted, defaults are spelled out.
"""

from __future__ import annotations

import os

from ocirun.errors import Failure
from ocirun.explaining.calls import calls
from ocirun.explaining.document import plain
from ocirun.explaining.sequence import name_of
from ocirun.explaining.words import capability_names, namespaces, quoted, sentence
from ocirun.linux.cgroup import devices_v1
from ocirun.steps import Step
from ocirun_spec import jsontext
from ocirun_spec.names import CAPABILITIES, NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final

    from ocirun.plan import Plan

    Config = dict[str, Any]

SAID: Final = {
    "cgroup.close_doors", "credentials.own_stdio", "lifecycle.ask_for_hooks", "lifecycle.close_logs",
    "lifecycle.close_proc", "lifecycle.run_hook", "lifecycle.stand_in_root", "masks.open_null",
    "mounts.describe_cgroup",
    "program.complete_home", "program.enter_cwd", "program.find", "program.try_cwd", "rlimits.raise_hard",
    "rootfs.cut_propagation", "rootfs.move_to_top",
}  # fmt: skip
"""Steps that are there because of another one, whose effect says what they are for."""
_BUNDLE: Final = "BUNDLE"
"""What the bundle's own directory is called, so that two bundles can be compared."""


class Effect:
    """One thing.

    room:    the subsystem.
    subject: what it is about, for telling a change from something that is new.
    text:    in words; details: what of it can differ, one thing a line.
    key:     all that makes a difference.
    before:  the keys of earlier effects of this plan that may not change places with it.
    """

    __slots__ = ("before", "details", "key", "pointer", "room", "subject", "text")

    def __init__(self, room: str, subject: str, pointer: str, text: str, details: list[str], key: str) -> None:
        self.room = room
        self.subject = subject
        self.pointer = pointer
        self.text = text
        self.details = details
        self.key = f"{room} {key}"
        self.before: list[str] = []


def effects(plan: Plan, config: Config, bundle: str) -> list[Effect]:
    """All of a plan, in its order."""
    steps = _granted_once([*plan.outside, *plan.adopt, *plan.inside, *plan.ready, *plan.launch])
    parts = {id(part) for step in steps for part in _parts(step.args)}
    found = [*_namespaces(plan), *_hooks(config), *_told(config)]
    found += [_of(step, config) for step in steps if id(step) not in parts and name_of(step) not in SAID]
    for each in found:
        _forget(each, bundle)
    _order(found)
    return found


def _granted_once(steps: list[Step]) -> list[Step]:
    """One step for the capabilities: what is kept until the filter is loaded, and dropped then, is no effect."""
    grants = [step for step in steps if name_of(step) == "capabilities.set_capabilities"]
    if len(grants) < 2:
        return steps
    first, last = grants
    whole = Step(first.do, first.pointer, first.text, last.args[0], first.args[1])
    return [whole if step is first else step for step in steps if step is not last]


def _parts(value: object) -> Iterator[Step]:
    """The steps among a step's arguments."""
    if isinstance(value, Step):
        yield value
        yield from _parts(value.args)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _parts(each)


def _namespaces(plan: Plan) -> list[Effect]:
    new = [flag for flag, _file in NAMESPACES.values() if plan.namespaces.new & flag]
    return [
        Effect("namespaces", str(flag), "/linux/namespaces", f"make {namespaces(flag)}", [], namespaces(flag))
        for flag in new
    ]


def _hooks(config: Config) -> list[Effect]:
    """All hooks; the plan has those of the container's side only."""
    found = []
    for stage, hooks in (config.get("hooks") or {}).items():
        for at, hook in enumerate(hooks or ()):
            env = hook.get("env")
            details = [
                f"path {quoted(hook['path'])}",
                *(f"argument {quoted(each)}" for each in hook.get("args") or [hook["path"]]),
                *(["the runtime's environment"] if env is None else [f"variable {quoted(each)}" for each in env]),
                *([f"timeout {hook['timeout']} s"] if hook.get("timeout") else []),
            ]
            text = f"run the {stage} hook {hook['path']}"
            subject = f"{stage} {hook['path']}"
            found.append(Effect("hooks", subject, f"/hooks/{stage}/{at}", text, details, f"{stage} {details}"))
    return found


def _told(config: Config) -> list[Effect]:
    """What is in no step: annotations for hooks and `state`, the filter's listener, the CPUs for a later `exec`."""
    found = []
    for name, value in (config.get("annotations") or {}).items():
        pointer = f"/annotations/{name.replace('~', '~0').replace('/', '~1')}"
        found.append(Effect("annotations", name, pointer, f"tell {name}", [quoted(value)], f"{name} {value}"))
    profile: Config = (config.get("linux") or {}).get("seccomp") or {}
    if profile.get("listenerPath"):
        details = [quoted(profile["listenerPath"]), quoted(profile.get("listenerMetadata") or "")]
        text = "tell the listener of the filter"
        found.append(Effect("seccomp", "listener", "/linux/seccomp/listenerPath", text, details, str(details)))
    affinity: Config = (config.get("process") or {}).get("execCPUAffinity") or {}
    if affinity:
        details = [f"{name} {quoted(cpus)}" for name, cpus in sorted(affinity.items())]
        text = "choose the CPUs of what exec starts"
        found.append(Effect("scheduler", "exec", "/process/execCPUAffinity", text, details, str(details)))
    return found


def _of(step: Step, config: Config) -> Effect:
    """A step's."""
    name = name_of(step)
    details = _DETAILS[name](step, config) if name in _DETAILS else calls(step)
    if name in _KEYS:
        key = jsontext.dumps(_sorted(_KEYS[name](step.args)))
    else:
        key = str(details) if name in _DETAILS else jsontext.dumps(_sorted(plain(step.args)))
    first = step.args[0] if step.args and isinstance(step.args[0], str | bytes | int) else ""
    subject = f"{step.deed} {os.fsdecode(first) if isinstance(first, bytes) else first}"
    return Effect(step.room, subject, step.pointer, sentence(step), details, f"{name} {key}")


def _sorted(value: Any) -> Any:
    """Members by name; a list keeps its order."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _bind(args: tuple[Any, ...]) -> Any:
    """A bind leaves its filesystem as it is, whatever parameters are given."""
    source, wish, shared, mappings = args[1].args
    kept = (wish.bind, wish.attributes, wish.recursive, wish.propagation, wish.idmap)
    return plain([args[0], source, shared, mappings, kept])


def _filesystem(args: tuple[Any, ...]) -> Any:
    """A new mount has no flag that could be cleared; of equal parameters the last one counts."""
    destination, kind, options, wish, owner, _made = args
    given = {key for key, _value in options}
    counting = [each for each in options if _DEFAULTS.get(each[0], each[0]) in given]
    flags = (wish.attributes[0], wish.recursive[0], wish.propagation, wish.tmpcopyup, wish.idmap)
    return plain([destination, kind, sorted(counting, key=lambda each: each[0]), flags, owner])


def _settings(step: Step, _config: Config) -> list[str]:
    return sorted(calls(step))


def _device_rules(_step: Step, config: Config) -> list[str]:
    """The state after all rules, where it can be told; else the rules in their order."""
    given = devices_v1.rules((config.get("linux") or {}).get("resources") or {})
    try:
        allowed, exceptions = devices_v1.fold(given)
    except Failure:
        words = {True: "allow", False: "deny"}
        return [f"{words[each.allow]} {each.kind} {each.major}:{each.minor} {each.access}" for each in given]
    other = "deny" if allowed else "allow"
    return [
        f"{'allow' if allowed else 'deny'} everything but",
        *sorted(f"{other} {devices_v1.text(entry)} {access}" for entry, access in exceptions.items()),
    ]


def _groups(step: Step, _config: Config) -> list[str]:
    array = step.args[0]
    numbers = {int.from_bytes(array[at : at + 4], "little") for at in range(0, len(array), 4)}
    return [f"group {number}" for number in sorted(numbers)]


def _bounding(step: Step, _config: Config) -> list[str]:
    return [f"bounding {name}" for name, number in CAPABILITIES.items() if number not in step.args[0]]


def _capabilities(step: Step, _config: Config) -> list[str]:
    sets, ambient = step.args
    found = [
        f"{name} {capability_names([bit])}"
        for name, mask in zip(("effective", "permitted", "inheritable"), sets, strict=True)
        for bit in range(64)
        if mask >> bit & 1
    ]
    return [*found, *(f"ambient {capability_names([bit])}" for bit in sorted(ambient))]


def _device(step: Step, _config: Config) -> list[str]:
    named = zip(("mode", "uid", "gid"), step.args[4], strict=True)
    return [*calls(step), *(f"an existing one gets the {name} {value}" for name, value in named if value >= 0)]


def _bound(step: Step, _config: Config) -> list[str]:
    """What the copy is, too."""
    copied = step.args[1]
    return [*(calls(copied) if step.args[2] else []), *calls(step)]


def _root(step: Step, _config: Config) -> list[str]:
    """Where it waits while hooks run makes no difference."""
    opened, path, _shown = step.args
    return [f"the directory {quoted(path or opened.args[0])}"]


def _program(step: Step, _config: Config) -> list[str]:
    program = step.args[0]
    arguments = [f"argument {at} {quoted(each)}" for at, each in enumerate(program.argv)]
    return [*arguments, *sorted(f"variable {quoted(name + b'=' + value)}" for name, value in program.env.items())]


def _filter(step: Step, _config: Config) -> list[str]:
    from ocirun.explaining.filters import rules

    return rules(step.args[0], step.args[2])


_DEFAULTS: Final = {b"async": b"sync", b"nolazytime": b"lazytime", b"nomand": b"mand"}
"""Flags of a filesystem that say nothing without their opposite."""
_KEYS: Final[dict[str, Callable[[tuple[Any, ...]], Any]]] = {
    "mounts.attach_bind": _bind,
    "mounts.mount_filesystem": _filesystem,
}
_DETAILS: Final[dict[str, Callable[[Step, Config], list[str]]]] = {
    "capabilities.cut_bounding": _bounding,
    "capabilities.set_capabilities": _capabilities,
    "cgroup.allow_devices": _device_rules,
    "cgroup.create": lambda step, _config: calls(step),
    "cgroup.limit": _settings,
    "credentials.set_groups": _groups,
    "devices.make": _device,
    "mounts.attach_bind": _bound,
    "program.execute": _program,
    "rootfs.attach_root": _root,
    "seccomp.provide": _filter,
}


def _forget(effect: Effect, bundle: str) -> None:
    """The bundle's own directory becomes a word."""
    if bundle != "/":
        effect.key = effect.key.replace(f"{bundle}/", f"{_BUNDLE}/")
        effect.text = effect.text.replace(f"{bundle}/", f"{_BUNDLE}/")
        effect.subject = effect.subject.replace(f"{bundle}/", f"{_BUNDLE}/")
        effect.details = [each.replace(f"{bundle}/", f"{_BUNDLE}/") for each in effect.details]


def _order(found: list[Effect]) -> None:
    """Fill in `before`: mounts at or below each other, and hooks of one stage, do not change places."""
    for at, effect in enumerate(found):
        effect.before = [each.key for each in found[:at] if _ordered(each, effect)]


def _ordered(one: Effect, other: Effect) -> bool:
    if one.room != other.room:
        return False
    if one.room == "hooks":
        return one.subject.split(" ")[0] == other.subject.split(" ")[0]
    if one.room != "mounts":
        return False
    first, second = (each.subject.partition(" ")[2].rstrip("/") + "/" for each in (one, other))
    return first.startswith(second) or second.startswith(first)
