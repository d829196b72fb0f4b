"""Descriptors of the runtime and of its caller."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import facility
from ocirun_conformance.case import case, each, expect, expect_equal, row
from ocirun_conformance.sentinel import SECRET, Sentinel
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun_conformance.probe import Facts
    from ocirun_conformance.trial import Trial

NUMBERS = range(3, 21)
WAYS = ("/proc/self/fd/{}", "/proc/1/fd/{}", "/link{}", "/proc/self/fd/{}/inner/..")


@contextmanager
def _leaked(sentinel: Sentinel) -> Iterator[list[int]]:
    """A folder of the host that the caller has open, at each of the numbers that are free."""
    opened = [os.open(sentinel.path, os.O_RDONLY | os.O_DIRECTORY) for _ in NUMBERS]
    try:
        yield opened
    finally:
        for fd in opened:
            os.close(fd)


@each(*(row(str(at), "CVE-2024-21626", way) for at, way in enumerate(WAYS)))
def a_working_directory_behind_a_descriptor(trial: Trial, way: str) -> None:
    """process.cwd is {0}, for each number up to 20, and the caller has a folder of the host open"""
    sentinel = Sentinel(trial)
    for number in NUMBERS:
        config = trial.config(["read", "secret"], ["read", "../secret"], ["list", "."])
        config["process"]["cwd"] = way.format(number)
        bundle = trial.bundle(config)
        (bundle.rootfs / f"link{number}").symlink_to(f"/proc/self/fd/{number}")
        made = trial.container(bundle)
        with _leaked(sentinel) as leaked:
            created = made.create(leaked=leaked).code == 0
        if created:
            made.watch()
            if made.start().code == 0:
                made.wait()
                expect(SECRET not in made.output, "the program reads a folder of the host", seen=made.output)
                names = {"bundle-0", "secret", "cgroup.procs", "config.json"} & set(str(made.output).split('"'))
                expect(not names, "the working directory is a folder of the host", seen=made.output)
        made.force()


@each(*(row(str(at), "CVE-2024-21626", way) for at, way in enumerate(WAYS[:3])))
def an_executed_working_directory(trial: Trial, way: str) -> None:
    """exec --cwd {0}, for each number up to 20, and the caller has a folder of the host open"""
    sentinel = Sentinel(trial)
    bundle = trial.bundle(trial.config(["wait"]))
    for number in NUMBERS:
        (bundle.rootfs / f"link{number}").symlink_to(f"/proc/self/fd/{number}")
    made = trial.started(bundle)
    for number in NUMBERS:
        with _leaked(sentinel) as leaked:
            options = ["--cwd", way.format(number)]
            done = made.execute("/probe", "read", "secret", "--", "list", ".", options=options, leaked=leaked)
        expect(SECRET not in done.out, "the program reads a folder of the host", seen=done.out)
        expect("cgroup.procs" not in done.out, "the working directory is a folder of the host", seen=done.out)


def _beyond(facts: Facts) -> list[Facts]:
    """The descriptors beyond the three."""
    return [each for each in facts["descriptors"] if each["fd"] > 2]


@case("CVE-2024-21626")
def inherited_descriptors(trial: Trial) -> None:
    """the caller's descriptors do not reach the program, nor an executed one"""
    sentinel = Sentinel(trial)
    made = trial.container(trial.config(["report"], ["wait"]))
    with _leaked(sentinel) as leaked:
        ok(made.create(leaked=leaked), "create")
        made.watch()
        ok(made.start(), "start")
        report = made.await_lines(1)
        expect_equal(_beyond(report.facts), [], "the program's descriptors beyond the three")
        done = ok(made.execute("/probe", "report", leaked=leaked), "exec")
        expect_equal(_beyond(json.loads(done.out)), [], "an executed program's descriptors beyond the three")


@case("CVE-2024-21626", needs=[facility.root])
def the_waiting_process(trial: Trial) -> None:
    """a created container's process holds no folder of the host open"""
    made = trial.created()
    mounts = {line.split()[0] for line in Path(f"/proc/{made.pid}/mountinfo").read_text().splitlines()}
    held = []
    for link in Path(f"/proc/{made.pid}/fd").iterdir():
        info = Path(f"/proc/{made.pid}/fdinfo/{link.name}").read_text()
        ident = next(line.split()[1] for line in info.splitlines() if line.startswith("mnt_id"))
        if link.is_dir() and ident not in mounts:
            held.append(f"{link.name} -> {link.readlink()}")
    expect_equal(held, [], "the folders of the host that it holds")
