"""Names and numbers, compared with what this Python and this kernel's headers know."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from ocirun_spec import names, version


def test_rlimits_and_signals_are_those_of_this_machine() -> None:
    for name, number in names.RLIMITS.items():
        assert getattr(resource, name, number) == number
    for name, number in names.SIGNALS.items():
        assert getattr(signal, name, number) == number
    assert (names.SIGRTMIN, names.SIGRTMAX) == (signal.SIGRTMIN, signal.SIGRTMAX)


def test_capabilities_are_those_of_the_header() -> None:
    header = Path("/usr/include/linux/capability.h")
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    defined = {
        words[1]: int(words[2])
        for words in map(str.split, header.read_text().splitlines())
        if len(words) >= 3 and words[0] == "#define" and words[1].startswith("CAP_") and words[2].isdigit()
    }
    assert defined.items() <= names.CAPABILITIES.items()
    assert len(defined) > 35


def test_namespaces_exist_in_proc() -> None:
    for flag, file in names.NAMESPACES.values():
        assert flag.bit_count() == 1
        if file != "time" or Path("/proc/self/ns/time").exists():
            assert Path("/proc/self/ns", file).exists()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9", 9),
        ("0", 0),
        ("KILL", 9),
        ("sigterm", 15),
        ("SIGPOLL", 29),
        ("SIGRTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("rtmax-2", 62),
        ("SIGRTMAX", 64),
        ("SIGRTMIN+0", 34),
        ("SIGRTMIN+30", 64),
        ("SIGRTMAX-30", 34),
        ("RTMAX-31", None),
        ("RTMIN+31", None),
        ("RTMIN-1", None),
        ("RTMIN+", None),
        ("65", None),
        ("-1", None),
        ("²", None),
        ("", None),
        ("SIG", None),
        ("BANANA", None),
    ],
)
def test_signals_are_read_as_people_write_them(text: str, number: int | None) -> None:
    assert names.signal_number(text) == number


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("1.3.0", (1, 3, 0, "")),
        ("1.0.2-dev", (1, 0, 2, "dev")),
        ("1.0.0-rc.1+build.5", (1, 0, 0, "rc.1")),
        ("1.0.0+001", (1, 0, 0, "")),
        ("1.0", None),
        ("01.0.0", None),
        ("1.0.0-01", None),
        ("1.0.0-", None),
        ("1.0.0+", None),
        ("1.0.0-a..b", None),
        ("v1.0.0", None),
        ("1.0.0 ", None),
        ("banana", None),
        ("", None),
    ],
)
def test_versions_follow_semver(text: str, parsed: tuple[int, int, int, str] | None) -> None:
    assert version.parse(text) == parsed
