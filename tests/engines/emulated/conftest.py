"""These tests are for the machines that `./dev test-vm` boots, and are run by hand for the time that they take.

A file of the lane systemd says so in its name; the others are for the lane vm.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On any other lane these tests are another lane's."""
    for item in items:
        if HERE in item.path.parents:
            lane = "systemd" if "systemd" in item.path.stem else "vm"
            item.add_marker(pytest.mark.vm)
            if os.environ.get("OCIRUN_LANE") != lane:
                item.add_marker(pytest.mark.skip(reason=f"not this lane: ./dev test-vm --lane {lane} runs it by hand"))
