"""The tests of this folder run unchanged on cgroup v1 and v2, and with either driver (`limited.chosen_driver`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from resources.limited import SYSTEMD, LimitedBox, chosen_driver, runtime_options
from support import facility
from support.facility import need
from support.runtime import Runtime, runtime_path, wait_for
from support.systemd import asked

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They start the built program and make containers as root."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.process)
            item.add_marker(pytest.mark.privileged)


@pytest.fixture(scope="session")
def driver() -> str:
    """The cgroup driver that the runtime is told to use."""
    if not runtime_path().exists():
        pytest.skip("needs ./dev build")
    return chosen_driver(runtime_path())


@pytest.fixture
def box(tmp_path: Path, driver: str) -> Iterator[LimitedBox]:
    """A box; when its containers are removed, nothing of it is left: no cgroup, and no unit of systemd's."""
    need(facility.root, facility.busybox)
    with Runtime(runtime_path(), tmp_path / "root", tmp_path / "calls", runtime_options(driver)) as runtime:
        found = LimitedBox(runtime, tmp_path, driver)
        before = found.snapshot()
        yield found
    before.assert_unchanged()
    if driver == SYSTEMD:
        units = ("systemctl", "list-units", "--all", "--plain", "--no-legend", f"*{found.ident}*")
        wait_for(lambda: asked(*units) == "", what=f"the end of the units of {found.ident}")
