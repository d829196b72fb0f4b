"""Strings that are long, or no numbers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance import facility
from ocirun_conformance.case import case, each, expect, expect_equal, row

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

LENGTHS = (65535, 65536, 65537, 131072, 1 << 20)


@each(*(row(str(length), "CVE-2021-43784", length) for length in LENGTHS))
def a_long_path_of_a_namespace(trial: Trial, length: int) -> None:
    """a namespace's path of {0} bytes, whose end is another path, is refused"""
    config = trial.config()
    tail = "/proc/1/ns/net"
    configs.add_namespace(config, "network", "/" * (length - len(tail)) + tail)
    trial.refused_at_last(config, "a path that is longer than a path can be")


@each(
    *(row(str(count), "CVE-2021-43784", count) for count in (341, 2000, 5000)), needs=[facility.root, facility.userns]
)
def many_mappings(trial: Trial, count: int) -> None:
    """{0} user mappings, more than the kernel takes, are refused; they are not cut"""
    config = trial.config()
    configs.add_namespace(config, "user")
    rows = [{"containerID": at, "hostID": 100000 + at, "size": 1} for at in range(count)]
    config["linux"] |= {"uidMappings": rows, "gidMappings": rows}
    trial.refused_at_last(config, f"{count} mappings")


@case("CVE-2021-43784")
def long_words(trial: Trial) -> None:
    """words of the program of 64 KiB and more reach it whole"""
    config = trial.config()
    words = ["x" * length for length in (65535, 65536, 65537, 131000)]
    config["process"]["args"] += ["--", "exec", "/probe", "list", "/", *words]
    report = trial.run(config)
    expect_equal([len(word) for word in report.facts["argv"][-4:]], [len(word) for word in words], "the words' lengths")


USERS = (
    "1abc", "0x0", "1:", ":1", "-1", "1:-1", "4294967295", "4294967296", "18446744073709551616", "1 0", "1e3", "0:0:0",
    "٣",
)  # fmt: skip


@each(*(row(str(at), "CVE-2026-30892", user) for at, user in enumerate(USERS)))
def a_malformed_user(trial: Trial, user: str) -> None:
    """exec --user {0} is refused"""
    made = trial.started(trial.config(["wait"]))
    done = made.execute("/probe", "report", options=["--user", user])
    expect(done.code != 0 and not done.out, "exec takes a malformed user", seen=(done.code, done.out[:200]))
    expect(os.path.exists(f"/proc/{made.pid}"), "the container has ended")
