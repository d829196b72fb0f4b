"""docs/errors.md says what the program says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from process.plain import plain_user_namespace, reachable
from support import facility, mistakes
from support.bundle import REPOSITORY
from support.facility import need
from support.runtime import runtime_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.privileged]

PAGE = (REPOSITORY / "docs" / "errors.md").read_text()


@pytest.fixture(scope="module")
def copied() -> Iterator[Path]:
    """The program where a plain user can reach it."""
    with reachable(runtime_path()) as path:
        yield path


@pytest.mark.parametrize("mistake", mistakes.MISTAKES, ids=[each.title for each in mistakes.MISTAKES])
def test_a_mistake(copied: Path, mistake: mistakes.Mistake) -> None:
    need(facility.root, facility.cgroup_v1, *([plain_user_namespace] if mistake.plain else []))
    _, _, section = PAGE.partition(f"\n## {mistake.title}\n\n")
    code, lines = mistakes.said(str(copied), mistake)
    assert section.startswith(mistakes.block("ocirun", code, lines)), lines
    warning = lines[:1] if code == 0 else [line for line in lines if not line.startswith("hint: ")][:1]
    assert len(warning) == 1, "something is said"


def test_the_page_has_all_in_their_order() -> None:
    titles = [line[3:] for line in PAGE.splitlines() if line.startswith("## ")]
    assert titles == [each.title for each in mistakes.MISTAKES]
    assert PAGE.startswith(mistakes.HEAD)
