"""Every duty is judged, or it says why no test from outside can."""

from __future__ import annotations

import pytest

from ocirun_conformance import catalogue
from ocirun_conformance.case import all_cases

pytestmark = [pytest.mark.meta]


def test_every_duty_has_a_case_or_a_reason_and_never_both() -> None:
    cited = {ident for case in all_cases().values() for ident in case.requirements}
    known, unjudged = set(catalogue.requirements()), set(catalogue.unjudged()) - set(catalogue.attacks())
    assert known - cited - unjudged == set()
    assert cited & unjudged == set()
    assert (cited | unjudged) - known == set()
