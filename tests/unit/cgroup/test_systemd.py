"""The systemd driver's pure parts: names of units, limits and annotations as their properties."""

from __future__ import annotations

from typing import Any

import pytest

from ocirun.errors import Failure
from ocirun.linux.cgroup import devices_v1, limits
from ocirun.linux.cgroup.systemd import annotated, names, properties

MIB = 1 << 20


def config(path: str) -> dict[str, Any]:
    return {"linux": {"cgroupsPath": path}} if path else {}


@pytest.mark.parametrize(
    ("path", "user", "unit"),
    [
        ("", False, ("system.slice", "ocirun-box.scope")),
        ("", True, ("user.slice", "ocirun-box.scope")),
        ("machine.slice:libpod:abc", False, ("machine.slice", "libpod-abc.scope")),
        (":docker:abc", False, ("system.slice", "docker-abc.scope")),
        (":docker:abc", True, ("user.slice", "docker-abc.scope")),
        ("a-b-c.slice::abc", False, ("a-b-c.slice", "abc.scope")),
        ("-.slice:x:y", False, ("-.slice", "x-y.scope")),
        ("s.slice:p:a+b", False, ("s.slice", r"p-a\x2bb.scope")),
    ],
)
def test_names_of_units(path: str, user: bool, unit: tuple[str, str]) -> None:
    assert names.unit_of(config(path), "box", user) == unit


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/a/b", "has not the form slice:prefix:name"),
        ("a:b", "has not the form"),
        ("a:b:c:d", "has not the form"),
        ("s.slice:p:", "has no name"),
        ("s.slice:p:x.slice", "is a slice"),
        ("s:p:n", "is not the name of a slice"),
        ("a--b.slice:p:n", "is not the name of a slice"),
        ("-a.slice:p:n", "is not the name of a slice"),
        ("../x.slice:p:n", "is not the name of a slice"),
        (".slice:p:n", "is not the name of a slice"),
        ("s.slice:p:" + "n" * 250, "is longer than 255 bytes"),
    ],
)
def test_refused_paths(path: str, words: str) -> None:
    with pytest.raises(Failure, match=words) as caught:
        names.unit_of(config(path), "box", False)
    assert caught.value.where == "/linux/cgroupsPath"


def said(resources: dict[str, Any], v2: bool) -> dict[str, Any]:
    """Properties by name, without their D-Bus types."""
    found = properties.of(limits.settings(resources, lambda _controller: v2))
    assert len({name for name, _value in found}) == len(found)
    return {name: value for name, (_type, value) in found}


MEMORY = {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB}


@pytest.mark.parametrize(
    ("resources", "v2", "expected"),
    [
        (
            {"memory": MEMORY},
            True,
            {"MemoryMax": 64 * MIB, "MemorySwapMax": 32 * MIB, "MemoryLow": 32 * MIB},
        ),
        ({"memory": {"limit": -1}}, True, {"MemoryMax": properties.INFINITY, "MemorySwapMax": properties.INFINITY}),
        ({"memory": MEMORY}, False, {"MemoryLimit": 64 * MIB}),
        ({"cpu": {"shares": 1024}}, True, {"CPUWeight": 100}),
        ({"cpu": {"shares": 512}}, False, {"CPUShares": 512}),
        ({"cpu": {"quota": 50000}}, True, {"CPUQuotaPerSecUSec": 500_000}),
        (
            {"cpu": {"quota": 50000, "period": 200_000}},
            True,
            {"CPUQuotaPerSecUSec": 250_000, "CPUQuotaPeriodUSec": 200_000},
        ),
        (
            {"cpu": {"quota": 1001, "period": 100_000}},
            False,
            {"CPUQuotaPerSecUSec": 20_000, "CPUQuotaPeriodUSec": 100_000},
        ),
        ({"cpu": {"quota": -1}}, True, {"CPUQuotaPerSecUSec": properties.INFINITY}),
        ({"cpu": {"quota": -1}}, False, {"CPUQuotaPerSecUSec": properties.INFINITY}),
        ({"cpu": {"idle": 1}}, True, {"CPUWeight": 0}),
        ({"cpu": {"cpus": "0-1,8", "mems": "0"}}, True, {"AllowedCPUs": b"\x03\x01", "AllowedMemoryNodes": b"\x01"}),
        ({"cpu": {"cpus": "0-4000000000"}}, True, {}),
        ({"cpu": {"cpus": "first", "mems": "0-"}}, True, {}),
        ({"pids": {"limit": 20}}, True, {"TasksMax": 20}),
        ({"pids": {"limit": -1}}, False, {"TasksMax": properties.INFINITY}),
        ({"blockIO": {"weight": 100}}, True, {"IOWeight": 910}),
        ({"blockIO": {"weight": 100}}, False, {"BlockIOWeight": 100}),
        (
            {"blockIO": {"weight": 10, "weightDevice": [{"major": 8, "minor": 0, "weight": 500}]}},
            True,
            {"IOWeight": 1},
        ),
        ({"memory": {"limit": MIB}, "unified": {"memory.max": "2097152", "memory.high": "max"}}, True,
         {"MemoryMax": 2 * MIB, "MemoryHigh": properties.INFINITY}),
        ({"unified": {"cpu.max": "10000", "hugetlb.2MB.max": "0"}}, True, {"CPUQuotaPerSecUSec": 100_000}),
    ],
)  # fmt: skip
def test_limits_as_properties(resources: dict[str, Any], v2: bool, expected: dict[str, Any]) -> None:
    assert said(resources, v2) == expected


def rule(allow: bool, **members: Any) -> dict[str, Any]:
    return {"allow": allow, **members}


def test_devices_as_properties() -> None:
    named = {("c", 136): "pts"}
    given = [rule(False, access="rwm"), rule(True, type="c", major=10, minor=229, access="rw")]
    policy, allowed = properties.devices(devices_v1.rules({"devices": given}), named)
    assert policy == ("DevicePolicy", ("s", "strict"))
    entries = dict(allowed[1][1])
    assert entries["/dev/char/10:229"] == "rw"
    assert entries["/dev/char/1:3"] == "rwm"
    assert entries["char-pts"] == "rwm"
    assert entries["char-*"] == "m"
    assert properties.devices(devices_v1.rules({"devices": [rule(True)]}), named) == [("DevicePolicy", ("s", "auto"))]


def test_names_of_devices() -> None:
    text = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n259 blkext\n"
    expected = {("c", 1): "mem", ("c", 136): "pts", ("b", 8): "sd", ("b", 259): "blkext"}
    assert properties.device_names(text) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("CollectMode", "'inactive'", ("CollectMode", ("s", "inactive"))),
        ("Description", '"a \\"b\\"\\n"', ("Description", ("s", 'a "b"\n'))),
        ("Delegatee", "true", ("Delegatee", ("b", True))),
        ("TimeoutStopUSec", "uint64 5", ("TimeoutStopUSec", ("t", 5))),
        ("TimeoutStopSec", "uint64 5", ("TimeoutStopUSec", ("t", 5_000_000))),
        ("TimeoutStopSec", "1.5", ("TimeoutStopUSec", ("t", 1_500_000))),
        ("Some", "-5", ("Some", ("i", -5))),
        ("Some", "byte 0xff", ("Some", ("y", 255))),
        ("Some", "double 2", ("Some", ("d", 2.0))),
        ("Some", "objectpath '/a'", ("Some", ("o", "/a"))),
        ("After", "['a.service', 'b.service']", ("After", ("as", ["a.service", "b.service"]))),
        ("After", "@as []", ("After", ("as", []))),
        ("Numbers", "@at [1, 2]", ("Numbers", ("at", [1, 2]))),
    ],
)
def test_annotations(name: str, text: str, expected: tuple[str, Any]) -> None:
    assert annotated.properties({"other": "x", f"{annotated.PREFIX}{name}": text}) == [expected]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("X", "true"),
        ("A.B", "true"),
        ("PIDs", "@au [1]"),
        ("Slice", "'x.slice'"),
        ("Some", ""),
        ("Some", "'open"),
        ("Some", "uint64"),
        ("Some", "uint64 -1"),
        ("Some", "byte 256"),
        ("Some", "3000000000"),
        ("Some", "nonsense"),
        ("Some", "true false"),
        ("Some", "[1, 'a']"),
        ("Some", "[1"),
        ("Some", "[]"),
        ("Some", "@as"),
        ("Some", "string 5"),
        ("TimeoutStopSec", "'x'"),
        ("TimeoutStopSec", "-1"),
    ],
)
def test_refused_annotations(name: str, text: str) -> None:
    with pytest.raises(Failure) as caught:
        annotated.properties({f"{annotated.PREFIX}{name}": text})
    assert caught.value.where == f"/annotations/{annotated.PREFIX}{name}"
