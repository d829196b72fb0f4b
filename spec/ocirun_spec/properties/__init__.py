"""The one table of properties: every property that the OCI runtime documents define for Linux.

From these rows come the JSON Schemas, the fast acceptance check, the documentation, and the test that each property is
owned by one subsystem of the runtime. The order of rows is the order in which the fast check looks at them.

EVENTS has rows of the same kind for documents that are runc's and not the specification's.
"""

from __future__ import annotations

from . import config, events, features, linux, resources, seccomp, state
from .row import OWNERS, Property

CONFIG: tuple[Property, ...] = (*config.ROWS, *linux.ROWS, *resources.ROWS, *seccomp.ROWS)
STATE: tuple[Property, ...] = state.ROWS
FEATURES: tuple[Property, ...] = features.ROWS
EVENTS: tuple[Property, ...] = events.ROWS

__all__ = ["CONFIG", "EVENTS", "FEATURES", "OWNERS", "STATE", "Property", "by_pointer", "owned_by"]


def by_pointer(rows: tuple[Property, ...] = CONFIG) -> dict[str, Property]:
    """The rows by their pointer pattern."""
    return {row.pointer: row for row in rows}


def owned_by(owner: str) -> tuple[Property, ...]:
    """The config's rows that one subsystem of the runtime must apply, refuse or give a reason for ignoring."""
    return tuple(row for row in CONFIG if row.owner == owner)
