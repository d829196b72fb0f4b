"""A sample of the mutants, each against the one case that is known to kill it. `./dev mutants` tries all of them."""

from __future__ import annotations

import pytest
from support import facility
from support.facility import need
from support.runtime import runtime_path

from ocirun_conformance import probe
from ocirun_conformance.case import all_cases
from ocirun_conformance.judge import Judge, Settings
from ocirun_conformance.mutants.run import attack, equivalents, killers
from ocirun_conformance.mutants.table import mutants
from ocirun_conformance.runtime import RUNC
from ocirun_conformance.verdict import Outcome

pytestmark = [pytest.mark.process, pytest.mark.privileged, pytest.mark.slow]

STEP = 24
SAMPLE = list(killers())[::STEP]


@pytest.mark.parametrize("name", SAMPLE)
def test_a_mutant_is_killed(name: str) -> None:
    need(facility.root)
    killer, runtime = killers()[name], str(runtime_path())
    settings = Settings(probe.build(), RUNC, 1)
    (good,) = Judge([runtime], settings, lambda _verdict: None).run([all_cases()[killer]]).verdicts
    if good.outcome is Outcome.NOT_RUN:
        pytest.skip(f"not this lane: {good.sentence}")
    assert good.outcome is Outcome.PASS, good.sentence
    assert attack(name, runtime, [killer], settings) == killer


def test_every_mutant_is_accounted_for() -> None:
    known = {*killers(), *equivalents()}
    assert set(mutants()) - known == set()
    assert known - set(mutants()) == set()
    assert set(killers()) & set(equivalents()) == set()
    assert {killer for killer in killers().values() if killer not in all_cases()} == set()
