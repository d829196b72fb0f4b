"""Prints, as shell assignments, where the Python that runs this has what the launcher is built from."""

from __future__ import annotations

import shlex
import sys
import sysconfig
import tomllib
from pathlib import Path


def main() -> int:
    """Read sysconfig and pyproject.toml and print one NAME=value per line."""
    variable = sysconfig.get_config_var
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    values = {
        "PY_INCLUDE": sysconfig.get_path("include"),
        "PY_PREFIX": sys.base_prefix,
        "PY_STDLIB": sysconfig.get_path("stdlib"),
        "PY_DYNLOAD": variable("DESTSHARED"),
        "PY_LIBRARY": f"{variable('LIBPL')}/{variable('LIBRARY')}",
        "OCIRUN_VERSION": project["version"],
    }
    sys.stdout.writelines(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
