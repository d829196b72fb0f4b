"""What `features` says about annotations is what the program looks at."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

import pytest
from meta.sources import modules, parsed

from ocirun import claims
from ocirun.linux import seccomp
from ocirun_spec.properties import CONFIG

pytestmark = [pytest.mark.meta]

REVERSE_DOMAIN = re.compile(r"(run\.oci|org|com|io\.(github|kubernetes|container))(\.[a-z0-9_-]+)+\.?", re.IGNORECASE)
"""How annotations are named (config.md, Annotations): a domain turned round. ``io.weight`` is a file of cgroup2."""


BUS_NAMES = "org.freedesktop."
"""Names of interfaces and errors on the D-Bus, which have that form too."""


def annotations_in(module: str) -> set[str]:
    return {
        node.value
        for node in ast.walk(parsed(modules()[module]))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and REVERSE_DOMAIN.fullmatch(node.value)
    }


def test_every_annotation_that_changes_something_is_listed() -> None:
    """An annotation is a word of its own in the program, or stands behind a prefix that is one."""
    names = [module for module in modules() if module.startswith("ocirun.") and module != "ocirun.claims"]
    used = {name for module in names for name in annotations_in(module)}
    prefixes = tuple(name for name in claims.HONOURED if name.endswith("."))
    assert {name for name in used if not name.startswith((*prefixes, BUS_NAMES))} == set(claims.HONOURED) - set(
        prefixes
    )
    assert set(prefixes) <= used


def test_the_pattern_knows_annotations() -> None:
    for name in ("run.oci.keep_original_groups", "org.systemd.property.", "org.opencontainers.image.stopSignal"):
        assert REVERSE_DOMAIN.fullmatch(name)
    assert not REVERSE_DOMAIN.fullmatch("ocirun.linux.mounts")


def test_what_is_claimed_follows_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A property that the table calls refused takes its claim with it."""
    hook, policy = "/hooks/prestart", "/linux/memoryPolicy/mode"
    rows = {row.pointer: row for row in CONFIG}
    rows[hook] = replace(rows[hook], status="refused")
    rows[policy] = replace(rows[policy], status="applied")
    monkeypatch.setattr(claims, "_ROWS", rows)
    document = claims.document()
    assert document["hooks"][0] == "createRuntime"
    assert "MPOL_BIND" in document["linux"]["memoryPolicy"]["modes"]


def test_nothing_of_seccomp_is_claimed_without_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise OSError("libseccomp.so.2: cannot open shared object file")

    monkeypatch.setattr(claims, "load_library", missing)
    document = claims.document()
    assert document["linux"]["seccomp"] == {"enabled": False}
    assert list(document["annotations"]) == ["org.ocirun.version"]


def test_a_flag_that_the_kernel_does_not_know_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(seccomp.FLAGS, "SECCOMP_FILTER_FLAG_OF_TOMORROW", 1 << 30)
    claimed = claims.document()["linux"]["seccomp"]
    assert set(claimed["knownFlags"]) - set(claimed["supportedFlags"]) >= {"SECCOMP_FILTER_FLAG_OF_TOMORROW"}


def test_capabilities_are_in_the_order_of_their_numbers() -> None:
    assert claims.known_capabilities()[:3] == ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"]
