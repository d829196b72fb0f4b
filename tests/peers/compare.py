"""Holds what a peer's own tests say against the table of expected failures: `compare.py TABLE OURS PEERS [--part]`.

TABLE is a .tsv file: test, reason. A reason is `spec:` with the clause that wants it so, or `host:` with what this
machine lacks; then the peer fails there too. OURS and PEERS are TAP. Exit code 0: exactly the expected ones failed.
With `--part` not all files of the suite ran, and what is missing says nothing.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

KINDS = ("spec: ", "host: ")
RESULT = re.compile(r"(ok|not ok) \d+ (.*?)( # skip.*)?")
PLAN = re.compile(r"1\.\.(\d+)")


def table(text: str) -> dict[str, str]:
    """Reason by test; ValueError names the line that is none."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        test, tab, reason = line.partition("\t")
        if not (test and tab and reason.startswith(KINDS) and "\t" not in reason) or test in found:
            raise ValueError(
                f"line {number}: {line!r} is no test with a reason of {' or '.join(KINDS)}, or twice there"
            )
        found[test] = reason
    return found


def results(text: str) -> dict[str, str]:
    """`ok`, `not ok` or `skip` by test; ValueError when the suite did not come to its end.

    Tests of one name in two files are told apart by their order.
    """
    found: dict[str, str] = {}
    planned = 0
    for line in text.splitlines():
        if plan := PLAN.fullmatch(line):
            planned = int(plan[1])
        elif result := RESULT.fullmatch(line):
            name = result[2]
            while name in found:
                name += " (again)"
            found[name] = "skip" if result[3] else result[1]
    if not planned or len(found) != planned:
        raise ValueError(f"{len(found)} results of {planned} tests")
    return found


def surprises(expected: dict[str, str], ours: dict[str, str], peers: dict[str, str], part: bool) -> list[str]:
    """What does not go as the table says, a line each."""
    found = [
        f"fails and is not expected to: {name}"
        for name, how in ours.items()
        if how == "not ok" and name not in expected
    ]
    for name, reason in expected.items():
        how = ours.get(name, "missing")
        if how != "not ok" and not (part and how == "missing"):
            found.append(f"expected to fail, but {how}: {name}")
        elif how == "not ok" and reason.startswith("host: ") and peers.get(name) == "ok":
            found.append(f"the host is no reason, the peer passes: {name}")
    return found


def main() -> int:
    """Prints a line for each test, and what is surprising."""
    paths = [Path(each) for each in sys.argv[1:] if each != "--part"]
    expected = table(paths[0].read_text())
    ours, peers = (results(path.read_text()) for path in paths[1:])
    print(f"{'ocirun':8}{'peer':8}test")
    for name, how in ours.items():
        print(f"{how:8}{peers.get(name, '-'):8}{name}" + (f" ({expected[name]})" if name in expected else ""))
    for title, found in (("ocirun", ours), ("peer", peers)):
        counted = Counter(found.values())
        print(f"{title}: {', '.join(f'{counted[how]} {how}' for how in ('ok', 'not ok', 'skip'))}")
    unexpected = surprises(expected, ours, peers, "--part" in sys.argv)
    print("\n".join(unexpected) or "as expected")
    return bool(unexpected)


if __name__ == "__main__":
    sys.exit(main())
