"""Mutants: a good runtime that spoils one thing, to prove that the suite sees it. See docs/design/mutants.md."""
