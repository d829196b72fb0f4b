"""What `update` reads from its options and from JSON, and how it names what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ocirun import asked, cli, options
from ocirun.errors import Failure

if TYPE_CHECKING:
    from pathlib import Path

INT64 = (1 << 63) - 1
TABLE = next(command for command in options.COMMANDS if command.name == "update").options


def read(*words: str) -> asked.Asked:
    arguments = cli.Arguments("update")
    assert cli.read(list(words), TABLE, arguments, -1) == []
    return asked.read(arguments)


def refused(*words: str) -> str:
    with pytest.raises(Failure) as caught:
        read(*words)
    return str(caught.value)


SIZES = [
    ("0", 0),
    ("1", 1),
    ("-1", -1),
    ("4096", 4096),
    ("32b", 32),
    ("32B", 32),
    ("32k", 32 << 10),
    ("32K", 32 << 10),
    ("32kb", 32 << 10),
    ("32Kib", 32 << 10),
    ("32KiB", 32 << 10),
    ("32 m", 32 << 20),
    ("512m", 512 << 20),
    ("1.5g", 3 << 29),
    ("32.5kB", 33280),
    ("0.3k", 307),
    ("2t", 2 << 40),
    ("3p", 3 << 50),
    ("9223372036854775807", INT64),
    ("007", 7),
]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_sizes(text: str, size: int) -> None:
    assert read("--memory", text, "id").resources == {"memory": {"limit": size}}


@pytest.mark.parametrize(
    "text",
    [
        "banana",
        "-2",
        "-1k",
        "-1b",
        "m",
        "1x",
        "1mm",
        "1bb",
        "1bi",
        "1ki",
        "1  m",
        ".3k",
        "1.",
        "1..2",
        "1.2.3",
        "1e3",
        "0x10",
    ],
)
def test_what_is_no_size(text: str) -> None:
    assert refused("--memory-reservation", text, "id").startswith(f"--memory-reservation: {text!r} is not a size")


@pytest.mark.parametrize("text", ["9223372036854775808", "8192p", "9" * 50, "1" + "0" * 5000])
def test_sizes_that_no_limit_can_have(text: str) -> None:
    assert refused("--memory-swap", text, "id") == f"--memory-swap: {text} is more than {INT64} bytes"


NUMBERS: list[tuple[str, str, dict[str, Any]]] = [
    ("blkio-weight", "500", {"blockIO": {"weight": 500}}),
    ("cpu-period", "50000", {"cpu": {"period": 50000}}),
    ("cpu-quota", "-1", {"cpu": {"quota": -1}}),
    ("cpu-burst", "0", {"cpu": {"burst": 0}}),
    ("cpu-share", "18446744073709551615", {"cpu": {"shares": (1 << 64) - 1}}),
    ("cpu-rt-period", "7", {"cpu": {"realtimePeriod": 7}}),
    ("cpu-rt-runtime", "-9223372036854775808", {"cpu": {"realtimeRuntime": -(1 << 63)}}),
    ("cpuset-cpus", "0-3,7", {"cpu": {"cpus": "0-3,7"}}),
    ("cpuset-mems", "0", {"cpu": {"mems": "0"}}),
    ("cpu-idle", "1", {"cpu": {"idle": 1}}),
    ("pids-limit", "-1", {"pids": {"limit": -1}}),
    ("kernel-memory", "1m", {"memory": {"kernel": 1 << 20}}),
    ("kernel-memory-tcp", "2m", {"memory": {"kernelTCP": 2 << 20}}),
]


@pytest.mark.parametrize(("option", "text", "resources"), NUMBERS)
@pytest.mark.parametrize("joined", [True, False])
def test_options(option: str, text: str, resources: dict[str, Any], joined: bool) -> None:
    words = [f"--{option}={text}"] if joined else [f"--{option}", text]
    found = read("id", *words)
    assert (found.resources, found.schemas) == (resources, {})


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("cpu-period", "-1", "-1 is not between 0 and 18446744073709551615"),
        ("cpu-share", "18446744073709551616", "18446744073709551616 is not between 0 and 18446744073709551615"),
        ("cpu-burst", "9" * 5000, f"{'9' * 5000} is not between 0 and 18446744073709551615"),
        ("cpu-quota", "9223372036854775808", f"9223372036854775808 is not between {-INT64 - 1} and {INT64}"),
        ("pids-limit", "-9223372036854775809", f"-9223372036854775809 is not between {-INT64 - 1} and {INT64}"),
        ("blkio-weight", "65536", "65536 is not between 0 and 65535"),
        ("cpu-idle", "yes", "'yes' is not a whole number"),
        ("cpu-quota", "1.5", "'1.5' is not a whole number"),
        ("cpu-quota", "--1", "'--1' is not a whole number"),
        ("cpu-quota", "\u0663", "'\u0663' is not a whole number"),
        ("pids-limit", "10k", "'10k' is not a whole number"),
    ],
)
def test_numbers_that_are_refused(option: str, text: str, said: str) -> None:
    assert refused(f"--{option}", text, "id") == f"--{option}: {said}"


def test_an_empty_value_asks_for_nothing() -> None:
    assert read("--memory", "", "--cpuset-cpus=", "id").resources == {}


def test_rules_between_options() -> None:
    said = "--cpu-burst: the burst 9 is above the quota 8"
    assert refused("--cpu-burst", "9", "--cpu-quota", "8", "id") == said


def test_every_option_is_of_the_table() -> None:
    assert {*asked.OPTIONS, *asked.SCHEMAS, "resources"} == {option.name for option in TABLE}


def test_schemas_may_be_given_beside_a_file(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text('{"pids": {"limit": 5}}')
    found = read("-r", str(file), "--l3-cache-schema", "L3:0=f", "id")
    assert (found.resources, found.schemas) == ({"pids": {"limit": 5}}, {"l3CacheSchema": "L3:0=f"})


def test_options_beside_a_file_contradict_it() -> None:
    said = "--resources says all limits, --cpu-share and --memory cannot be given beside it"
    assert refused("--memory", "5m", "-r", "-", "--cpu-share", "7", "id") == said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", ":1:1: the text is empty"),
        ('{"a": 1} x', ":1:10: text after the end of the JSON value"),
        ("[]", ":1:1: [] is not allowed here, expected an object"),
        ("null", ":1:1: null is not allowed here, expected an object"),
        ('{"memory":\n {"limit": "64m"}}', ':2:12: /memory/limit: "64m" is not allowed here, expected an integer'),
        ('{"pids": {"limit": true}}', ":1:20: /pids/limit: true is not allowed here, expected an integer"),
        ('{"cpu": {"shares": -1}}', ":1:20: /cpu/shares: -1 is not allowed here, expected an integer from 0 to"),
        ('{"memory": {"limit": 9223372036854775808}}', ":1:22: /memory/limit: 9223372036854775808 is not allowed"),
        ('{"devices": [{"allow": true}, {"allow": 1}]}', ":1:41: /devices/1/allow: 1 is not allowed here"),
        ('{"devices": [{"allow": true, "type": "z"}]}', ':1:38: /devices/0/type: "z" is not allowed here'),
        ('{"unified": {"a/b": "1"}}', ': /unified/a~1b: "a/b" is not the name of a file'),
        ('{"memory": {"swappiness": 101}}', ": /memory/swappiness: the swappiness 101 is not between"),
    ],
)  # fmt: skip
def test_json_that_is_refused(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(content)
    found = refused(f"--resources={file}", "id")
    assert found.startswith(f"{file}{said}"), found


def test_names_of_places(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text(json.dumps({"cpu": {"quota": 7}}))
    from_file, from_options = read("-r", str(file), "id"), read("--cpu-period", "7", "--memory", "1", "id")
    assert from_file.place("/linux/resources/cpu/quota") == f"{file}: /cpu/quota"
    assert from_options.place("/linux/resources/cpu/period") == "--cpu-period"
    assert from_options.place("/linux/resources/cpu/quota") == "--cpu-period"
    assert from_options.place("/linux/resources/memory/swap") == "--memory"
    assert from_options.place("/linux/resources/pids/limit") == "/linux/resources/pids/limit"
    assert from_options.place("--memory") == "--memory"
    assert from_options.place("") == ""
