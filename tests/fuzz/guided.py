"""Coverage-guided fuzzing of `raw` with atheris, which only `./dev fuzz` installs.

    python -m fuzz.guided TARGET FOUND SECONDS SEED

Begins with the kept corpus; what reaches new code goes into the folder FOUND, and what fails into FOUND/crash-….
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ocirun", "ocirun_spec"]):
    from fuzz import raw


def main(name: str, found: str, seconds: str, seed: str) -> None:
    """Never returns: libFuzzer ends the process, with 0 when nothing was found."""
    Path(found).mkdir(parents=True, exist_ok=True)
    kept = [str(raw.CORPUS / name)] if (raw.CORPUS / name).is_dir() else []
    limits = [f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=4096", "-timeout=20"]
    told = ["-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], found, *kept, *limits, *told], raw.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
