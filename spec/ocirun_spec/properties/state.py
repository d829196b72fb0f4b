"""Properties of runtime.md's state."""

from __future__ import annotations

from .row import Property, Section

_state = Section("", "state")

STATUSES = ("creating", "created", "running", "stopped")

ROWS: tuple[Property, ...] = (
    _state.object("", "ociVersion", "id", "status", "bundle"),
    _state.string("/ociVersion"),
    _state.string("/id"),
    _state.choice("/status", STATUSES),
    _state.within("/pid", 0, (1 << 31) - 1),
    _state.string("/bundle"),
    *_state.string_map("/annotations"),
)
