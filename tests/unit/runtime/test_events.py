"""The interval of `events`, and /proc/PID/net/dev."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ocirun.commands import events
from ocirun.errors import Failure
from ocirun.linux import intelrdt, interfaces

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
NET_DEV = b"""Inter-|   Receive                                    |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:  100       1    0    0    0     0          0         0   100       1    0    0    0     0       0          0
  eth0: 1000000  200    3    4    5     6          7         8  9000     100   11   12   13    14      15         16
eth\xff1:18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
"""


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("5s", 5 * SECOND),
        ("+5s", 5 * SECOND),
        ("500ms", SECOND // 2),
        ("1m30s", 90 * SECOND),
        ("1h0m1s", 3601 * SECOND),
        ("1.5s", 3 * SECOND // 2),
        (".5s", SECOND // 2),
        ("1.s", SECOND),
        ("1us", 1000),
        ("1µs", 1000),
        ("1\u03bcs", 1000),
        ("7ns", 7),
        ("2562047h", 2562047 * 3600 * SECOND),
    ],
)
def test_a_duration(text: str, nanoseconds: int) -> None:
    assert events.duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "0",
        "0s",
        "-5s",
        "s",
        ".s",
        "5 s",
        "5s ",
        "1..5s",
        "1x",
        "1s5",
        "1S",
        "1d",
        "\u0665s",
        "2562048h",
        "9" * 5000 + "s",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(Failure) as caught:
        events.duration(text)
    assert str(caught.value).startswith("--interval takes a duration greater than 0, such as 5s, 500ms or 1m30s, not ")


def test_the_columns_of_an_interface() -> None:
    eth0, other = interfaces.parse(NET_DEV)
    assert eth0 == {
        "Name": "eth0", "RxBytes": 1000000, "RxPackets": 200, "RxErrors": 3, "RxDropped": 4,
        "TxBytes": 9000, "TxPackets": 100, "TxErrors": 11, "TxDropped": 12,
    }  # fmt: skip
    assert (other["Name"], other["RxBytes"]) == ("eth\ufffd1", (1 << 64) - 1)
    assert interfaces.parse(b"") == []


def test_the_runtimes_own_interfaces_are_not_a_containers() -> None:
    assert interfaces.statistics(os.getpid()) == []


def test_a_class_of_service(tmp_path: Path) -> None:
    record = {"group": os.fspath(tmp_path)}
    assert intelrdt.statistics(record) == {}
    (tmp_path / "schemata").write_text("    MB:0=100\n    L3:0=7ff;1=7ff\n    L2:0=ff\n")
    assert intelrdt.statistics(record) == {
        "l3_cache_schema": "L3:0=7ff;1=7ff",
        "mem_bw_schema": "MB:0=100",
        "schemata": ["MB:0=100", "L3:0=7ff;1=7ff", "L2:0=ff"],
    }
