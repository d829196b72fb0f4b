"""linux.memoryPolicy, as /proc/self/numa_maps shows it to the program (config-linux.md, Memory policy)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence
from support import facility
from support.bundle import default_config, with_user_namespace
from support.facility import requires

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

LOOK = "head -n1 /proc/self/numa_maps"
NODES = Path("/sys/devices/system/node")
POLICIES: list[tuple[dict[str, Any], str]] = [
    ({"mode": "MPOL_DEFAULT"}, "default"),
    ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0-0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "interleave=relative:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, "bind"),
    ({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}, "weighted interleave:0"),
    ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "prefer:0"),
    ({"mode": "MPOL_PREFERRED"}, "local"),
    ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "prefer (many):0"),
    ({"mode": "MPOL_LOCAL"}, "local"),
]


def numa() -> str:
    """CONFIG_NUMA."""
    return "" if Path("/proc/self/numa_maps").exists() else "not this lane: needs a kernel with CONFIG_NUMA"


def one_node() -> str:
    return numa() or ("" if not (NODES / "node1").exists() else "not this lane: needs a machine without a second node")


def policy_of(line: str) -> str:
    """``00400000 weighted interleave:0 file=/bin/busybox …`` without what does not belong to the policy."""
    return line.split(" ", 1)[1].partition(" file=")[0]


@requires(numa)
@pytest.mark.parametrize(("policy", "expected"), POLICIES, ids=[words for _, words in POLICIES])
def test_policies(box: Box, policy: dict[str, Any], expected: str) -> None:
    config = changed(default_config(), "/linux/memoryPolicy", policy)
    config["process"]["args"] = ["sh", "-c", LOOK]
    result = box.run(config)
    if result.code and policy["mode"] == "MPOL_WEIGHTED_INTERLEAVE" and "invalid argument" in result.err:
        pytest.skip("not this lane: the kernel has no MPOL_WEIGHTED_INTERLEAVE (Linux 6.9)")
    found = policy_of(result.ok().out)
    assert found.startswith("bind=") if policy.get("flags") == ["MPOL_F_NUMA_BALANCING"] else found == expected


@requires(numa, facility.user_namespace)
def test_in_a_user_namespace(box: Box) -> None:
    config = changed(default_config(), "/linux/memoryPolicy", {"mode": "MPOL_BIND", "nodes": "0"})
    assert policy_of(box.shell(LOOK, with_user_namespace(config))) == "bind:0"


@requires(numa)
def test_exec_has_it_too(box: Box) -> None:
    box.start_sleeper(changed(default_config(), "/linux/memoryPolicy", {"mode": "MPOL_BIND", "nodes": "0"}))
    assert policy_of(box.exec(LOOK).ok().out) == "bind:0"


@requires(numa)
@pytest.mark.parametrize(
    ("policy", "where", "words"),
    [
        ({"mode": "MPOL_DEFAULT", "nodes": "0"}, "/nodes", "MPOL_DEFAULT takes no nodes"),
        ({"mode": "MPOL_BIND"}, "/nodes", "MPOL_BIND needs at least one node"),
        ({"mode": "MPOL_BIND", "nodes": "1-0"}, "/nodes", "ends before it begins"),
        ({"mode": "MPOL_BIND", "nodes": "1000"}, "", "set_mempolicy: invalid argument"),
        ({"mode": "MPOL_LOCAL", "flags": ["MPOL_F_STATIC_NODES"]}, "", "set_mempolicy: invalid argument"),
        (
            {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]},
            "",
            "set_mempolicy: invalid argument",
        ),
        ({"mode": "MPOL_MAGIC"}, "/mode", "MPOL_MAGIC"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_MAGIC"]}, "/flags/0", "MPOL_F_MAGIC"),
    ],
)
def test_what_is_refused(box: Box, policy: dict[str, Any], where: str, words: str) -> None:
    box.write(changed(default_config(), "/linux/memoryPolicy", policy))
    before = box.snapshot()
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    assert f": /linux/memoryPolicy{where}: " in sentence
    assert words in sentence
    before.assert_unchanged()


@requires(one_node)
def test_a_node_that_is_not_there(box: Box) -> None:
    box.write(changed(default_config(), "/linux/memoryPolicy", {"mode": "MPOL_BIND", "nodes": "1"}))
    sentence = one_sentence(box.runtime.run(box.ident, box.bundle).expect(1))
    expected = "/linux/memoryPolicy: set the memory policy MPOL_BIND of the nodes 1: set_mempolicy: invalid argument"
    assert sentence.endswith(expected)
