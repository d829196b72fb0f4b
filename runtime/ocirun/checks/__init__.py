"""The checks of `validate`, and of the hint below a sentence of `create` and `run`. Cold; the host is not changed.

A check is a function from a `Subject` to its findings. It looks at the config where the rules have accepted it, and at
the host with the rights of the caller: what it may not see it says nothing about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun.checks import cgroups, ids, kernel, program, refusals, security, sources
from ocirun.checks.subject import Finding, Subject, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[[Subject], Iterator[Finding]]

__all__ = ["Finding", "Subject", "about", "of_the_host", "of_the_runtime"]

_HOST: tuple[tuple[str, Check], ...] = (
    ("", kernel.calls),
    ("/root", sources.root),
    ("/process/args", program.check),
    ("/process/rlimits", kernel.limits),
    ("/process/apparmorProfile", security.labels),
    ("/process/capabilities", security.rights),
    ("/mounts", sources.bound),
    ("/mounts", kernel.filesystems),
    ("/hooks", sources.hooks),
    ("/linux/namespaces", ids.check),
    ("/linux/uidMappings", ids.check),
    ("/linux/gidMappings", ids.check),
    ("/linux/namespaces", kernel.spaces),
    ("/linux/sysctl", kernel.parameters),
    ("/linux/netDevices", sources.devices),
    ("/linux/resources", cgroups.check),
    ("/linux/cgroupsPath", cgroups.check),
    ("/linux/resources/cpu", kernel.processors),
    ("/linux/seccomp", security.profile),
)
"""Which check knows about a part of the config."""


def of_the_runtime(subject: Subject) -> Iterator[Finding]:
    """What this release refuses on any host."""
    yield from refusals.check(subject)


def of_the_host(subject: Subject) -> Iterator[Finding]:
    """What this host refuses, as far as that can be seen without trying."""
    for check in dict.fromkeys(check for _part, check in _HOST):
        yield from check(subject)


def about(pointer: str, subject: Subject) -> Iterator[Finding]:
    """What the checks of one part say about a place in it."""
    for check in dict.fromkeys(check for part, check in _HOST if part and within(pointer, part)):
        for finding in check(subject):
            if within(finding.pointer, pointer) or (finding.pointer and within(pointer, finding.pointer)):
                yield finding
