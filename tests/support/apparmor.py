"""AppArmor profiles as the host's administrator has them."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def loaded(text: str) -> Iterator[None]:
    """The profiles of this text are in the kernel (apparmor_parser(8)), and unloaded at the end."""
    _parser("--replace", text)
    try:
        yield
    finally:
        _parser("--remove", text)


def _parser(option: str, text: str) -> None:
    subprocess.run(["apparmor_parser", option, "--skip-cache"], input=text, text=True, check=True, timeout=60)
