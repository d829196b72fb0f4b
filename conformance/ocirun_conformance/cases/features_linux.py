"""What `features` claims for Linux, used in a container: features.md, features-linux.md."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from ocirun_conformance import claims, facility
from ocirun_conformance import config as configs
from ocirun_conformance.calls import allowing, number, rule
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.trial import ok
from ocirun_spec import properties

from . import idmap
from .features import claimed
from .features import claims as document

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

ELSEWHERE = {"bind", "rbind", "remount", "idmap", "ridmap"}
"""Options that take more than a word; each has cases of its own."""
BIG_ENDIAN = {"MIPS", "MIPS64", "MIPS64N32", "PARISC", "PARISC64", "PPC", "PPC64", "S390", "S390X", "M68K", "SHEB"}
FLAGS = {
    f"SECCOMP_FILTER_FLAG_{name}"
    for name in ("TSYNC", "LOG", "SPEC_ALLOW", "NEW_LISTENER", "TSYNC_ESRCH", "WAIT_KILLABLE_RECV")
}
"""<linux/seccomp.h>"""
WITH_LISTENER = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"


@case("FEA-001")
def the_same_for_every_caller(trial: Trial) -> None:
    """features prints the same without an environment, without rights and in other namespaces"""
    here = document(trial)
    command = trial.runtime.command("features", {})
    ways = [["env", "-i"]]
    if not facility.root.missing() and not facility.unshare.missing():
        ways += [["unshare", "--net", "--uts", "--ipc"], ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]]
    for way in ways:
        call = ok(trial.runtime.call([*way, *command], trial.new_file("features")), f"features called by {way[0]}")
        expect_equal(call.out, trial.runtime.calls[0].out, f"what features prints when {way[0]} calls it")
    expect(here, "features prints an empty document")


@case("FEA-008")
def nothing_newer_than_its_version(trial: Trial) -> None:
    """features has no property that is younger than its ociVersionMax"""
    found = document(trial)
    newest = claims.numbers(str(found.get("ociVersionMax")))
    for pointer, known in properties.by_pointer(properties.FEATURES).items():
        if claims.numbers(known.since) > newest and "*" not in pointer:
            place: Any = found
            for name in pointer.strip("/").split("/"):
                place = place.get(name) if isinstance(place, dict) else None
            expect(place is None, f"features has {pointer}, which came with {known.since}", seen=found["ociVersionMax"])


@case("FEA-010", needs=[facility.mounting])
def mount_options_are_known(trial: Trial) -> None:
    """each mount option that features names is taken for a new filesystem"""
    config = trial.config()
    for name in sorted(set(claimed(trial, "mountOptions")) - ELSEWHERE):
        configs.add_mount(config, f"/mnt/{name}", "tmpfs", "tmpfs", name)
    trial.created(config)


@case("FEL-005")
def architectures_are_taken(trial: Trial) -> None:
    """each architecture of this machine's byte order that features names is taken"""
    names = [
        name for name in claimed(trial, "linux", "seccomp", "archs") if name[len("SCMP_ARCH_") :] not in BIG_ENDIAN
    ]
    for name in names:
        config = trial.config()
        config["linux"]["seccomp"] = allowing(rule("SCMP_ACT_ERRNO", "getegid"), architectures=[name])
        ok(trial.container(config).create(), f"create with the architecture {name} that features names:")


@case("FEL-006", "FEL-007")
def flags_work(trial: Trial) -> None:
    """a filter with each flag that features names as supported is applied; a supported flag is a known one"""
    supported = claimed(trial, "linux", "seccomp", "supportedFlags")
    unknown = sorted(set(supported) - set(claimed(trial, "linux", "seccomp", "knownFlags")))
    expect(not unknown, "features has supported flags that are no known flags", seen=unknown)
    foreign = sorted(set(claimed(trial, "linux", "seccomp", "knownFlags")) - FLAGS)
    expect(not foreign, "features has known flags that no kernel knows", seen=foreign)
    for name in supported:
        if name == WITH_LISTENER:
            continue
        config = trial.config(["syscall", number("getegid")])
        config["linux"]["seccomp"] = allowing(rule("SCMP_ACT_ERRNO", "getegid", errnoRet=errno.EMLINK), flags=[name])
        expect_equal(trial.run(config)[0]["error"], "EMLINK", f"the answer of a filter with {name}")


@each(
    row("seccomp/actions", "FEL-003", "seccomp", "actions", "/linux/seccomp/defaultAction"),
    row("memoryPolicy/modes", "FEL-008", "memoryPolicy", "modes", "/linux/memoryPolicy/mode"),
    row("memoryPolicy/flags", "FEL-009", "memoryPolicy", "flags", "/linux/memoryPolicy/flags/*"),
)
def names_of_the_specification(trial: Trial, subject: str, name: str, pointer: str) -> None:
    """features names no {1} of {0} but those of the specification, for which there are cases"""
    known = properties.by_pointer()[pointer].choices
    foreign = sorted(set(claimed(trial, "linux", subject, name)) - set(known))
    expect(not foreign, f"features names {name} that the specification does not have", seen=foreign)


@case("FEL-010", needs=[facility.mount_setattr])
def mappings_of_mounts(trial: Trial) -> None:
    """a runtime that claims mountExtensions.idmap maps a bind mount"""
    extension = (document(trial).get("linux") or {}).get("mountExtensions") or {}
    enabled = (extension.get("idmap") or {}).get("enabled")
    expect(enabled in (None, False, True), "features has an enabled of idmap that is no boolean", seen=enabled)
    if not enabled:
        raise NotRun("the runtime does not claim mountExtensions.idmap")
    idmap.own_mappings(trial, "bind", "idmap")
