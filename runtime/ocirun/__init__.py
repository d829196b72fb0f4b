"""The runtime: what reads a bundle and becomes a container."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

VERSION: Final = "0.1.0"
"""This program's version."""
SPEC_VERSION: Final = "1.3.0"
"""The newest runtime-spec that it implements; also the `ociVersion` of its state."""
