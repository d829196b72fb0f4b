"""What this release refuses on any host, and what its planners warn of: asked one by one, so that all is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocirun import plan
from ocirun.checks.subject import Finding, planned
from ocirun.linux import capabilities, memorypolicy, personality, scheduler
from ocirun.linux.mounts.wish import Wish
from ocirun.linux.mounts.wish import check as check_mount
from ocirun_spec.names import CAPABILITIES
from ocirun_spec.properties import CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun.checks.subject import Subject

_ALL = (1 << len(CAPABILITIES)) - 1


def check(subject: Subject) -> Iterator[Finding]:
    """Everything but what only the host decides."""
    yield from _not_supported(subject.config)
    if "root" in subject.config and subject.namespace("mount") is None:
        yield from planned(lambda: plan.refuse_mounts(subject.config, False))
    for at, entry in enumerate(subject.mounts):
        yield from _mount(entry, f"/mounts/{at}")
    yield from _process(subject.process)
    yield from _ids(subject)
    if policy := subject.linux.get("memoryPolicy"):
        yield from planned(lambda: memorypolicy.inside(policy))
    if domain := subject.linux.get("personality"):
        yield from planned(lambda: personality.inside(domain))


def _not_supported(config: dict[str, Any]) -> Iterator[Finding]:
    """The rows of the property table that are refused, where the config has something."""
    for row in CONFIG:
        value: Any = config
        for name in row.pointer.split("/")[1:] if row.status == "refused" else ():
            value = value.get(name) if isinstance(value, dict) else None
        if row.status == "refused" and value:
            yield Finding(row.pointer, f"not supported: {row.reason}", "leave it out: this runtime refuses it")


def _mount(entry: dict[str, Any], pointer: str) -> Iterator[Finding]:
    """The planner's own check, and a mount without a type, which the kernel refuses as an unknown filesystem."""
    wish = Wish(entry)
    yield from planned(lambda: check_mount(entry, wish, pointer))
    if not (wish.bind or wish.remount) and entry.get("type", "none") in ("", "none"):
        hint = "to show a file or directory of the host, add the option rbind" if entry.get("source") else ""
        yield Finding(pointer, "the mount has no type of filesystem", hint)


def _process(process: dict[str, Any]) -> Iterator[Finding]:
    sets: dict[str, list[str]] = process.get("capabilities") or {}
    if sets:
        known = {key: [name for name in names if name in CAPABILITIES] for key, names in sets.items()}
        yield from planned(lambda: capabilities.masks(known, _ALL, "/process"))
    yield from planned(lambda: scheduler.inside(process, "/process", False))
    for each in planned(lambda: scheduler.affinity(process)):
        yield Finding(f"/process{each.pointer}", f"exec will fail: {each.message}", each.hint, "warning")


def _ids(subject: Subject) -> Iterator[Finding]:
    """An id that a new user namespace does not map is refused by setresuid(2), setresgid(2) and setgroups(2)."""
    if subject.namespace("user") != "":
        return
    user = subject.process.get("user") or {}
    wanted = [("uid", "/uid", user.get("uid", 0)), ("gid", "/gid", user.get("gid", 0))]
    wanted += [("gid", f"/additionalGids/{at}", gid) for at, gid in enumerate(user.get("additionalGids") or ())]
    for kind, where, number in wanted if subject.process else ():
        maps = subject.linux.get(f"{kind}Mappings") or []
        if maps and not any(each["containerID"] <= number < each["containerID"] + each["size"] for each in maps):
            message = f"the {kind} {number} is not mapped in the container's user namespace"
            hint = f"add it to /linux/{kind}Mappings, or use one that is there"
            yield Finding(f"/process/user{where}", message, hint)
