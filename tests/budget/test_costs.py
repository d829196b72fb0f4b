"""What the hot commands cost, beside `costs.tsv`, which `./dev costs` writes (`support/costs.py` says what is counted).

A command that costs more fails the test, and so does one that costs much less, so that the list stays true.
"""

from __future__ import annotations

import pytest
from support import facility
from support.costs import HEADS, LIST, measure, table
from support.facility import requires
from support.instructions import countable

pytestmark = [pytest.mark.budget, pytest.mark.privileged, pytest.mark.slow]

TOLERANCES = (0.02, 0.1, 0.05)
"""Instructions differ by a thousandth from call to call, page faults by a hundredth. These also depend on how large the
pages are that the kernel keeps the executable in."""


@requires(facility.root, facility.busybox, facility.cgroup_v1, facility.strace, countable)
def test_hot_commands_cost_what_is_listed() -> None:
    found = measure()
    heads, *rows = (line.split("\t") for line in LIST.read_text().splitlines())
    assert tuple(heads) == HEADS
    assert [row[0] for row in rows] == list(found)
    wrong = []
    for command, *listed in rows:
        for head, text, now, tolerance in zip(HEADS[1:], listed, found[command], TOLERANCES, strict=True):
            before = 0 if text == "-" else int(text)
            if abs((now or 0) - before) > tolerance * before:
                wrong.append(f"{command}: {now} {head}, listed {text}")
    assert not wrong, f"./dev costs writes the list anew:\n{table(found)}"
