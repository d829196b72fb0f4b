"""Records that were cut, overwritten or written by a later release, beside one that is whole."""

from __future__ import annotations

import copy
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from fuzz.answers import ask
from hypothesis import strategies as st

from ocirun import SPEC_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hypothesis.strategies import DrawFn, SearchStrategy

Record = dict[str, Any]
Case = tuple[bytes, tuple[str, ...]]
"""Bytes of a state.json, and the command that meets them."""

COMMANDS = (
    ("state",), ("kill",), ("kill", "--all"), ("start",), ("exec",), ("ps",), ("pause",), ("resume",),
    ("update", "--pids-limit", "9"), ("events", "--stats"), ("delete",),
)  # fmt: skip
_JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1, 1 << 62, 1.5, "", "x", "/", "\udcff", [], [1], ["x"], [[]], [None, "x"], {}, {"x": 1},
)  # fmt: skip


def whole(ident: str, base: Path) -> Record:
    """A stopped container's record with every member."""
    group = f"{base}/group-{ident}"
    return {
        "ociVersion": SPEC_VERSION, "id": ident, "phase": "created", "creator": [1 << 21, 5],
        "pid": 1 << 21, "start": 5,
        "bundle": "/b", "rootfs": "/b/rootfs", "created": "2026-01-01T00:00:00Z", "owner": 0, "program": True,
        "annotations": {"a": "b"}, "hooks": {"poststop": [{"path": "/bin/true"}]},
        "cgroup": {"driver": "v1", "paths": {"freezer": group, "unified": group}, "made": [group], "owners": {"x": 0}},
        "listener": ["/nowhere", ""], "notify": False, "launch": [3, ["/process", "execute true"]],
        "netDevices": [], "intelRdt": None,
    }  # fmt: skip


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(holder, key) of each member and item below a value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in ((value, key), *_places(value[key]))]


@st.composite
def damaged(draw: DrawFn, good: Record) -> bytes:
    """Bytes of a state.json: members changed, removed and added, then perhaps cut or overwritten."""
    record = copy.deepcopy(good)
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from(_places(record)))
        if draw(st.booleans()):
            holder[key] = copy.deepcopy(draw(st.sampled_from(_JUNK)))
        else:
            del holder[key]
    if draw(st.booleans()):
        record["of tomorrow"] = draw(st.sampled_from(_JUNK))
    data = bytearray(json.dumps(record), "ascii")
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 3)))):
        data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(data[: draw(st.sampled_from((len(data), len(data), draw(st.integers(0, len(data))))))])


def record(base: Path) -> tuple[SearchStrategy[Case], Callable[[Case], None]]:
    """Each command answers in a sentence, `list` shows the other container, and `delete --force` frees the id."""
    root = base / "root"
    for name in ("bad", "good"):
        (root / name).mkdir(parents=True)
    (root / "good" / "state.json").write_text(json.dumps(whole("good", base)))

    def call(*line: str) -> str:
        return ask(["--root", str(root), *line], base).check().out

    def meet(case: Case) -> None:
        data, command = case
        shutil.rmtree(root / "bad", ignore_errors=True)
        (root / "bad").mkdir()
        (root / "bad" / "state.json").write_bytes(data)
        (root / "bad" / "config.json").write_text('{"ociVersion": "1.0.0", "root": {"path": "rootfs"}}')
        call(*command, "bad", *(["true"] if command == ("exec",) else []))
        assert "good" in call("list", "--quiet").split("\n")
        assert ask(["--root", str(root), "delete", "--force", "bad"], base).check().code == 0
        assert os.listdir(root) == ["good"]

    return st.tuples(damaged(whole("bad", base)), st.sampled_from(COMMANDS)), meet
