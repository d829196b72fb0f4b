"""README's first commands as a new user types them: on a Debian that has nothing but its smallest system."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.facility import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pages import Block

pytestmark = [pytest.mark.engines, pytest.mark.slow]

REPOSITORY = Path(__file__).resolve().parents[2]
CERTIFICATES = "/certificates.pem"
BUILD_SECONDS = 900


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A root made by debootstrap's smallest variant, with a clone of this repository in /root/ocirun."""
    root = tmp_path / "fresh"
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    command = ["debootstrap", "--variant=minbase", "bookworm", str(root)]
    subprocess.run(command, check=True, timeout=BUILD_SECONDS, env=environment, capture_output=True)
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(root / "root" / "ocirun")], check=True)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    if certificates := os.environ.get("SSL_CERT_FILE"):
        shutil.copy(certificates, str(root) + CERTIFICATES)
    yield root
    shutil.rmtree(root)


def enter(root: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in that root, in a mount namespace of its own."""
    given = {"FRESH_CERTIFICATES": CERTIFICATES} if (root / CERTIFICATES[1:]).exists() else {}
    command = ["unshare", "--mount", "--propagation", "private", str(Path(__file__).with_name("enter.sh"))]
    return subprocess.run(
        [*command, str(root), script],
        env={**os.environ, **given},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )


@pytest.mark.executes("README.md", 1, 2)
@requires(facility.root, facility.debootstrap, facility.busybox)
def test_demo(fresh: Path, blocks: list[Block]) -> None:
    """`./dev demo` and `./dev install` install what is missing and build; without root they name the packages."""
    refused = enter(fresh, "cd /root/ocirun && chmod 755 /root && exec setpriv --reuid 65534 ./dev demo")
    assert refused.returncode == 1
    assert "apt-get install --no-install-recommends" in refused.stderr
    assert "python3-dev" in refused.stderr
    demo, install = (f"set -e\nPATH=/usr/local/bin:$PATH\ncd /root/ocirun\n{block.text}" for block in blocks)
    installed = enter(fresh, install)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert installed.stdout == "hello from a sandbox\n"
    shown = enter(fresh, demo)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "process id: 1\n" in shown.stdout
    assert "hostname:   demo\n" in shown.stdout
    assert "/proc (proc" in shown.stdout
    assert "Max open files            1024" in shown.stdout
    assert "Read-only file system" in shown.stdout
