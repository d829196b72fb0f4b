"""``python resctrl_runtime.py FOLDER ROOM ARGUMENT…``: the runtime, with FOLDER in place of resctrl.

The containers, their processes and the kernel are real; only where resctrl is, and how it answers, is made up: few
machines have it, and no emulated one. The runtime runs without its launcher, so that it can be told.
What was done to the folder is appended to the file FOLDER.calls.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from kernel.resctrl.fake import Resctrl

from ocirun import cli
from ocirun.linux import intelrdt


def entry(folder: str, room: str, *arguments: str) -> None:
    """One command line."""
    monkeypatch = pytest.MonkeyPatch()
    tree = Resctrl(Path(folder), monkeypatch)
    tree.room = int(room)
    monkeypatch.setattr(intelrdt, "find", lambda: folder)
    code = cli.main(list(arguments))
    monkeypatch.undo()
    with Path(folder + ".calls").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(call) + "\n" for call in tree.calls)
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry(*sys.argv[1:])
