"""A process that swaps a directory of a shared volume with a symbolic link while containers are made on top of it.

The swapping is all that goes on: whatever a create does, mount or refuse, the host's directory behind the link stays as
it is, and no mount appears outside (CVE-2021-30465).
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from security.box import Box, compile_probe, minimal_config
from support.bundle import with_bind, with_mount
from support.command import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.security, pytest.mark.privileged, pytest.mark.slow]

ROUNDS = 120


@pytest.fixture(scope="module")
def swap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_probe("swap", tmp_path_factory.mktemp("probe"))


@pytest.fixture
def racer(box: Box, swap: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Swaps `volume/target`, a directory, and `volume/link`, a link to the host's directory."""
    volume = box.base / "volume"
    (volume / "target").mkdir(parents=True)
    (volume / "link").symlink_to(f"../../../../../../../../../..{box.base}/host-data")
    with subprocess.Popen([str(swap), str(volume / "target"), str(volume / "link")]) as process:
        try:
            wait_for((volume / "target").is_symlink, what="the first swap")
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("kind", ["tmpfs", "bind", "file", "below", "masked"])
def test_a_swapped_mount_destination_never_leads_out(box: Box, racer: subprocess.Popen[bytes], kind: str) -> None:
    host = box.sentinel()
    source = box.base / "source"
    source.mkdir()
    (source / "file").touch()
    # The image has the path that the link names, so that following it inside is possible too.
    (box.rootfs / str(host.directory).lstrip("/")).mkdir(parents=True)
    config = with_bind(minimal_config("true"), box.base / "volume", "/volume")
    if kind == "tmpfs":
        with_mount(config, "/volume/target", "tmpfs", "tmpfs", "nosuid")
    elif kind == "bind":
        with_bind(config, source, "/volume/target")
    elif kind == "file":
        with_bind(config, source / "file", "/volume/target/file")
    elif kind == "below":
        with_mount(config, "/volume/target/inner/made", "tmpfs", "tmpfs", "nosuid")
    else:
        config["linux"]["maskedPaths"] = ["/volume/target", "/volume/target/secret"]
        config["linux"]["readonlyPaths"] = ["/volume/target/inner"]
    bundle = box.write(config)
    before = host_mounts(box)
    codes = []
    for _ in range(ROUNDS // 5):
        codes.append(box.runtime.create(box.ident, bundle).code)
        host.assert_unchanged()
        box.runtime.delete(box.ident, force=True).ok()
    assert racer.poll() is None, "the racer stopped"
    assert set(codes) <= {0, 1}
    assert host_mounts(box) == before
    host.assert_unchanged()


def host_mounts(box: Box) -> list[str]:
    """Mount points of this process's namespace that lie in the box."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(line.split()[4] for line in lines if str(box.base) in line.split()[4])
