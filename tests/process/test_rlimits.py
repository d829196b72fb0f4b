"""process.rlimits, as the program finds them in /proc/self/limits (config.md, POSIX process)."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence
from support import facility
from support.bundle import default_config, with_shell, with_user_namespace
from support.facility import need

from ocirun_spec.names import RLIMITS

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

TITLES = {
    "RLIMIT_CPU": "Max cpu time",
    "RLIMIT_FSIZE": "Max file size",
    "RLIMIT_DATA": "Max data size",
    "RLIMIT_STACK": "Max stack size",
    "RLIMIT_CORE": "Max core file size",
    "RLIMIT_RSS": "Max resident set",
    "RLIMIT_NPROC": "Max processes",
    "RLIMIT_NOFILE": "Max open files",
    "RLIMIT_MEMLOCK": "Max locked memory",
    "RLIMIT_AS": "Max address space",
    "RLIMIT_LOCKS": "Max file locks",
    "RLIMIT_SIGPENDING": "Max pending signals",
    "RLIMIT_MSGQUEUE": "Max msgqueue size",
    "RLIMIT_NICE": "Max nice priority",
    "RLIMIT_RTPRIO": "Max realtime priority",
    "RLIMIT_RTTIME": "Max realtime timeout",
}
"""proc_pid_limits(5)."""
LARGE = {"RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_RSS", "RLIMIT_AS"}
LOOK = "cat /proc/self/limits"


def lower(name: str) -> dict[str, Any]:
    """A soft and a hard limit that differ from each other and from the caller's, who may have nothing to give."""
    soft, hard = (1 << 32, 1 << 33) if name in LARGE else (300, 400)
    most = resource.getrlimit(RLIMITS[name])[1]
    if most != resource.RLIM_INFINITY:
        hard = min(hard, most)
    return {"type": name, "soft": min(soft, hard), "hard": hard}


def seen(text: str) -> dict[str, list[str]]:
    """[soft, hard] by name."""
    lines = text.splitlines()
    found = {}
    for name, title in TITLES.items():
        line = next(line for line in lines if line.startswith(title))
        found[name] = line.removeprefix(title).split()[:2]
    return found


def limited(*limits: dict[str, Any]) -> Config:
    return changed(with_shell(default_config(), LOOK), "/process/rlimits", list(limits))


def asked(*limits: dict[str, Any]) -> dict[str, list[str]]:
    return {limit["type"]: [str(limit["soft"]), str(limit["hard"])] for limit in limits}


def test_the_table_is_whole() -> None:
    assert set(TITLES) == set(RLIMITS)


@pytest.mark.parametrize("name", RLIMITS)
def test_each_limit(box: Box, name: str) -> None:
    """It alone: the others are the caller's."""
    mine = seen(box.shell(LOOK))
    found = seen(box.run(limited(lower(name))).ok().out)
    assert found == mine | asked(lower(name))


@pytest.mark.parametrize("name", RLIMITS)
def test_each_limit_of_exec(box: Box, name: str) -> None:
    box.start_sleeper()
    found = seen(box.runtime.exec_process(box.ident, limited(lower(name))["process"]).ok().out)
    assert found[name] == asked(lower(name))[name]


@pytest.mark.parametrize("userns", [False, True], ids=["host", "userns"])
def test_all_limits_at_once(box: Box, userns: bool) -> None:
    limits = [lower(name) for name in RLIMITS]
    config = limited(*limits)
    if userns:
        need(facility.user_namespace)
        with_user_namespace(config)
    assert seen(box.run(config).ok().out) == asked(*limits)


def test_the_largest_number_is_no_limit(box: Box) -> None:
    endless = {"type": "RLIMIT_CPU", "soft": (1 << 64) - 1, "hard": (1 << 64) - 1}
    assert resource.getrlimit(resource.RLIMIT_CPU)[1] == resource.RLIM_INFINITY
    assert seen(box.run(limited(endless)).ok().out)["RLIMIT_CPU"] == ["unlimited"] * 2


def test_a_limit_holds(box: Box) -> None:
    config = limited({"type": "RLIMIT_FSIZE", "soft": 1000, "hard": 1000})
    script = "ulimit -Hf; dd if=/dev/zero of=/tmp/big bs=4000 count=1; echo $?; stat -c %s /tmp/big"
    out = box.run(with_shell(config, script)).ok().out.split()
    assert out == ["1", "153", "1000"], "it was killed by SIGXFSZ"


def test_tiny_limits_do_not_starve_the_set_up(box: Box) -> None:
    """They are the program's, which begins with the three streams."""
    config = limited(
        {"type": "RLIMIT_NOFILE", "soft": 4, "hard": 4}, {"type": "RLIMIT_AS", "soft": 1 << 23, "hard": 1 << 23}
    )
    assert seen(box.run(config).ok().out)["RLIMIT_NOFILE"] == ["4", "4"]


WRONG: list[tuple[list[dict[str, Any]], str, str]] = [
    ([{"type": "RLIMIT_MAGIC", "soft": 1, "hard": 1}], "/rlimits/0/type", '"RLIMIT_MAGIC" is unknown'),
    ([{"type": "NOFILE", "soft": 1, "hard": 1}], "/rlimits/0/type", '"NOFILE" is unknown'),
    ([{"type": "rlimit_nofile", "soft": 1, "hard": 1}], "/rlimits/0/type", "is unknown"),
    (
        [lower("RLIMIT_CORE"), lower("RLIMIT_CPU"), lower("RLIMIT_CORE")],
        "/rlimits/2/type",
        "RLIMIT_CORE is given twice",
    ),
    ([lower("RLIMIT_CORE"), lower("RLIMIT_CORE") | {"soft": 1}], "/rlimits/1/type", "RLIMIT_CORE is given twice"),
    ([{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}], "/rlimits/0/soft", "above the hard limit"),
    ([{"type": "RLIMIT_CPU", "hard": 1}], "/rlimits/0/soft", "missing"),
    ([{"type": "RLIMIT_CPU", "soft": 1}], "/rlimits/0/hard", "missing"),
    ([{"soft": 1, "hard": 1}], "/rlimits/0/type", "missing"),
    ([{"type": "RLIMIT_CPU", "soft": -1, "hard": 1}], "/rlimits/0/soft", ""),
]


@pytest.mark.parametrize(("limits", "where", "words"), WRONG)
def test_wrong_limits_are_refused(box: Box, limits: list[dict[str, Any]], where: str, words: str) -> None:
    box.write(limited(*limits))
    before = box.snapshot()
    for command in ("create", "run"):
        sentence = one_sentence(box.runtime.call(command, "--bundle", str(box.bundle), box.ident).expect(1))
        assert f"/process{where}: " in sentence
        assert words in sentence
    before.assert_unchanged()


@pytest.mark.parametrize(("limits", "where", "words"), WRONG[:6])
def test_wrong_limits_of_exec_are_refused(box: Box, limits: list[dict[str, Any]], where: str, words: str) -> None:
    box.start_sleeper()
    sentence = one_sentence(box.runtime.exec_process(box.ident, limited(*limits)["process"]).expect(255))
    assert f": {where}: " in sentence
    assert words in sentence


def test_a_hard_limit_that_cannot_be_raised_is_refused(box: Box) -> None:
    """Without CAP_SYS_RESOURCE the kernel says no; tests/vm/test_rights.py shows it raised."""
    if not facility.sys_resource():
        pytest.skip("not this lane: CAP_SYS_RESOURCE raises it")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    box.write(limited({"type": "RLIMIT_NOFILE", "soft": 1, "hard": most + 1}))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert "/process/rlimits/0: raise the hard limit RLIMIT_NOFILE" in sentence
    assert sentence.endswith("operation not permitted")
    before.assert_unchanged()
