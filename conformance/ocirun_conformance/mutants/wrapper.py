"""A runtime that spoils one thing of a good one: `python3 -IS wrapper.py "MUTANT" RUNTIME ARGUMENT…`.

MUTANT is a name of the table, which says by itself what is spoiled; RUNTIME is the path of a program with runc's
command line. Small and light, because it starts at every call.
"""

from __future__ import annotations

import sys


def main(argv: list[str]) -> int:
    """The exit code; in most calls the good runtime takes this process over."""
    # Isolated, Python has neither the folder of this package nor site-packages in its path.
    sys.path.insert(0, __file__.rsplit("/", 3)[0])
    from ocirun_conformance.mutants.spoil import spoil

    return spoil(argv[1].split(" "), argv[2], argv[3:])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
