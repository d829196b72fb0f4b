"""The catalogue says what the list of requirements says, which lies outside the repository (OCIRUN_SHARED)."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from support.bundle import REPOSITORY

from ocirun_conformance import catalogue

pytestmark = [pytest.mark.meta]

REQUIREMENTS = Path(os.environ.get("OCIRUN_SHARED", REPOSITORY.parent / "shared")) / "requirements.tsv"


def test_ids_words_and_places_are_those_of_the_requirements() -> None:
    if not REQUIREMENTS.exists():
        pytest.skip(f"{REQUIREMENTS} is not there (OCIRUN_SHARED can name another place)")
    with REQUIREMENTS.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    known = catalogue.requirements()
    wanted = {row["id"]: (row["level"], f"{row['file']}:{row['line']}") for row in rows if row["id"] in known}
    assert {ident: (each.word, each.section) for ident, each in known.items()} == wanted
    assert len(known) == 276
