"""Resource limits and the score of the out-of-memory killer: config.md, POSIX process and Linux Process."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import facility
from ocirun_conformance.caller import called_with
from ocirun_conformance.case import NotRun, case, each, expect_equal, row

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Trial

NAMES = (
    *("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS"),
    *("SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"),
)
"""Without RLIMIT_, as <asm-generic/resource.h> numbers them; getrlimit(2)."""
LARGE = {"FSIZE", "DATA", "STACK", "RSS", "AS"}
NO_LIMIT = (1 << 64) - 1


def number(name: str) -> int:
    """The resource's number on this machine: few architectures have their own."""
    return int(getattr(resource, f"RLIMIT_{name}", NAMES.index(name)))


def most(name: str) -> int:
    """The suite's own hard limit; NO_LIMIT for none."""
    found = resource.getrlimit(number(name))[1]
    return NO_LIMIT if found == resource.RLIM_INFINITY else found


def lower(name: str) -> tuple[int, int]:
    """A soft and a hard limit that differ, and that nobody needs a right for."""
    soft, hard = (1 << 32, 1 << 33) if name in LARGE else (300, 400)
    hard = min(hard, most(name))
    return min(soft, hard), hard


def limited(trial: Trial, limits: list[tuple[str, int, int]]) -> Config:
    """A configuration with these limits: name, soft, hard."""
    config = trial.config()
    config["process"]["rlimits"] = [
        {"type": f"RLIMIT_{name}", "soft": soft, "hard": hard} for name, soft, hard in limits
    ]
    return config


def seen(trial: Trial, limits: list[tuple[str, int, int]], place: int) -> dict[str, int]:
    """The program's soft (0) or hard (1) limits of these."""
    found: list[list[int]] = trial.run(limited(trial, limits)).facts["rlimits"]
    return {name: found[number(name)][place] for name, _soft, _hard in limits}


@case("CFG-099", "CFG-101")
def soft_limits(trial: Trial) -> None:
    """the program has the soft limit that was asked for, of each resource"""
    asked = [(name, *lower(name)) for name in NAMES]
    expect_equal(seen(trial, asked, 0), {name: soft for name, soft, _hard in asked}, "the soft limits")


@case("CFG-099", "CFG-103")
def hard_limits(trial: Trial) -> None:
    """the program has the hard limit that was asked for, of each resource"""
    asked = [(name, *lower(name)) for name in NAMES]
    expect_equal(seen(trial, asked, 1), {name: hard for name, _soft, hard in asked}, "the hard limits")


@case("CFG-101", "CFG-103")
def the_largest_number(trial: Trial) -> None:
    """the largest number is no limit, as getrlimit(2) tells it"""
    if most("CPU") != NO_LIMIT:
        raise NotRun("needs a caller without a limit for its processor time")
    found = trial.run(limited(trial, [("CPU", NO_LIMIT, NO_LIMIT)])).facts["rlimits"][number("CPU")]
    expect_equal(found, [NO_LIMIT, NO_LIMIT], "soft and hard limit of RLIMIT_CPU")


@case("CFG-103", needs=[facility.sys_resource])
def a_raised_hard_limit(trial: Trial) -> None:
    """a hard limit above the caller's is raised, if the runtime may do so"""
    hard = most("MSGQUEUE")
    if hard == NO_LIMIT:
        raise NotRun("needs a caller with a hard limit for RLIMIT_MSGQUEUE")
    asked = [("MSGQUEUE", hard, hard + 4096)]
    expect_equal(seen(trial, asked, 1), {"MSGQUEUE": hard + 4096}, "the hard limits")


@each(row("RLIMIT_MAGIC", "CFG-098", "RLIMIT_MAGIC"), row("RLIMIT_nofile", "CFG-098", "RLIMIT_nofile"))
def an_unknown_limit(trial: Trial, name: str) -> None:
    """{0}, a limit that no kernel has, is refused"""
    config = trial.config()
    config["process"]["rlimits"] = [{"type": name, "soft": 8, "hard": 8}]
    trial.refused_at_last(config, f"the limit {name}")


@each(
    row("same", "CFG-104", "with the same values", [("CORE", 10, 20), ("CORE", 10, 20)]),
    row("different", "CFG-104", "with different values", [("CORE", 10, 20), ("CORE", 11, 20)]),
    row("apart", "CFG-104", "with another one between", [("CORE", 10, 20), ("CPU", 1000, 1000), ("CORE", 10, 20)]),
)
def a_limit_given_twice(trial: Trial, _how: str, limits: list[tuple[str, int, int]]) -> None:
    """the same limit listed twice is refused, {0}"""
    trial.refused_at_last(limited(trial, limits), "RLIMIT_CORE twice")


def own_score() -> int:
    """The suite's own oom_score_adj; so low that the cases have room above it."""
    own = int(Path("/proc/self/oom_score_adj").read_text())
    if own > 900:
        raise NotRun(f"needs a caller whose oom_score_adj is not {own}")
    return own


def score(trial: Trial, callers: int, asked: int | None) -> int:
    """The program's oom_score_adj when the caller has that one and the configuration asks for this."""
    called_with(trial, f"open('/proc/self/oom_score_adj', 'w').write('{callers}')")
    config = trial.config()
    if asked is not None:
        config["process"]["oomScoreAdj"] = asked
    return int(trial.run(config).facts["oom_score_adj"])


@each(row("higher", "CFG-107", "higher", 70), row("lower", "CFG-107", "lower", 10), row("zero", "CFG-107", "0", 0))
def oom_score(trial: Trial, _how: str, above: int) -> None:
    """the program has the oom_score_adj that was asked for, and not the caller's: {0}"""
    own = own_score()
    expect_equal(score(trial, own + 30, own + above), own + above, "oom_score_adj")


@case("CFG-107", needs=[facility.sys_resource])
def a_lowered_oom_score(trial: Trial) -> None:
    """a negative oom_score_adj is set, if the runtime may do so"""
    expect_equal(score(trial, own_score(), -500), -500, "oom_score_adj")


@case("CFG-108")
def an_unset_oom_score(trial: Trial) -> None:
    """without oomScoreAdj the program has the caller's"""
    own = own_score()
    expect_equal(score(trial, own + 30, None), own + 30, "oom_score_adj")
