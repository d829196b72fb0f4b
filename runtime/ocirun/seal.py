"""Closing the import system, before anything of an image can be reached.

SECURITY: an interpreter that imports, loads a codec or formats a traceback after the root changed would read files of
the image as root. Everything a plan needs is imported by making the plan; `close` then removes every way to import
more, so that a forgotten late import fails loudly instead of running the image's code.
"""

from __future__ import annotations

import sys


def close() -> None:
    """Forget finders, hooks and paths. Modules that are loaded stay; nothing else can be."""
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()
    sys.path_importer_cache.clear()
