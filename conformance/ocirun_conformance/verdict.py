"""What the suite found out: a verdict per case, a table of verdicts per runtime. All reports are made from these."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .case import Case
    from .runtime import Call


class Outcome(Enum):
    """PASS and FAIL are about the runtime, NOT_RUN about the host, ERROR about the suite itself."""

    PASS = "pass"
    FAIL = "fail"
    NOT_RUN = "not run"
    ERROR = "error"


@dataclass(frozen=True)
class Verdict:
    """One case with one runtime. sentence: why, unless it passed; config: what config.json was at the end.

    kept, by_hand: with a kept bundle, the command that judges again, and the one that only repeats the calls.
    """

    case: Case
    outcome: Outcome
    sentence: str = ""
    expected: object = None
    seen: object = None
    config: dict[str, Any] | None = None
    calls: tuple[Call, ...] = ()
    seconds: float = 0.0
    kept: str = ""
    by_hand: str = ""
    left: tuple[str, ...] = ()


@dataclass
class Judgement:
    """All verdicts about one runtime. version: the first line that it says of itself.

    claims: the newest version of the specification that it says it follows, "" when it says nothing of that.
    """

    program: str
    version: str
    verdicts: list[Verdict] = field(default_factory=list)
    seconds: float = 0.0
    claims: str = ""

    def count(self, outcome: Outcome, level: str = "") -> int:
        """How many cases ended so, of one level or of all."""
        return sum(each.outcome is outcome and level in ("", each.case.level) for each in self.verdicts)

    @property
    def exit_code(self) -> int:
        """0 when no MUST fails, 1 when one does, 2 when the suite itself failed or has judged nothing."""
        if self.count(Outcome.ERROR) or not self.count(Outcome.PASS) + self.count(Outcome.FAIL):
            return 2
        return 1 if self.count(Outcome.FAIL, "must") else 0
