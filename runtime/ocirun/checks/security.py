"""Profiles and labels of security modules, and what seccomp(2) and libseccomp take here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocirun import claims
from ocirun.checks.subject import Finding, planned, text_of
from ocirun.linux import capabilities, lsm, seccomp
from ocirun.linux.seccomp.compile import compile_profile, load_library
from ocirun_spec.names import CAPABILITIES
from ocirun_spec.problem import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun.checks.subject import Subject

_PROFILES = "/sys/kernel/security/apparmor/profiles"
_WITHOUT_PROFILE = ("unconfined",)
_FEWEST_PARTS = 3
"""Of a SELinux context: user, role and type (selinux(8))."""


def labels(subject: Subject) -> Iterator[Finding]:
    """The module is there; a profile is loaded; a label has the form of a context."""
    process = subject.process
    profile, label = process.get("apparmorProfile"), process.get("selinuxLabel")
    hint = "take the property out, or boot a kernel with the module switched on"
    for each in (
        *planned(lambda: lsm.launch({"apparmorProfile": profile}, "/process")),
        *planned(lambda: lsm.launch({"selinuxLabel": label}, "/process")),
        *planned(lambda: lsm.mount_label(subject.config)),
    ):
        yield Finding(each.pointer, each.message, hint)
    if profile and lsm.apparmor_enabled():
        yield from _profile(profile)
    for pointer, text in (("/process/selinuxLabel", label), ("/linux/mountLabel", subject.linux.get("mountLabel"))):
        if text and lsm.selinux_enabled() and text.count(":") + 1 < _FEWEST_PARTS:
            yield Finding(pointer, f"{text} is no SELinux context", "write USER:ROLE:TYPE[:LEVEL]")


def _profile(profile: str) -> Iterator[Finding]:
    """Only root may read which profiles are loaded."""
    loaded = [line.rpartition(" (")[0] for line in text_of(_PROFILES).splitlines()]
    if loaded and profile not in loaded and profile not in _WITHOUT_PROFILE:
        hint = did_you_mean(profile, loaded) or "load it with apparmor_parser, aa-status lists those that are loaded"
        yield Finding("/process/apparmorProfile", f"the AppArmor profile {profile} is not loaded", hint)


def rights(subject: Subject) -> Iterator[Finding]:
    """Capabilities that the caller does not have himself cannot be given to a container in his user namespace."""
    sets: dict[str, list[str]] = subject.process.get("capabilities") or {}
    if not sets or subject.namespace("user") is not None:
        return
    known = {key: [name for name in names if name in CAPABILITIES] for key, names in sets.items()}
    yield from planned(lambda: capabilities.masks(known, subject.facts.effective, "/process"))


def profile(subject: Subject) -> Iterator[Finding]:
    """libseccomp compiles the profile, and the kernel takes its flags."""
    wanted = subject.linux.get("seccomp")
    if not wanted:
        return
    try:
        load_library()
    except (ImportError, OSError, RuntimeError):
        yield Finding("/linux/seccomp", "libseccomp cannot be loaded", "install it (package libseccomp2)")
        return
    yield from planned(lambda: compile_profile(wanted, "/linux/seccomp"))
    for at, name in enumerate(wanted.get("flags") or ()):
        if name in seccomp.FLAGS and not claims.takes_flags(seccomp.FLAGS[name]):
            message = f"this kernel does not know the seccomp flag {name}"
            yield Finding(f"/linux/seccomp/flags/{at}", message, "leave it out")
