"""The Debian package, and README's first commands, as a new user types them: on a Debian of the smallest system."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from release import dependencies
from support import facility

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pages import Block

pytestmark = [pytest.mark.engines, pytest.mark.slow]

REPOSITORY = Path(__file__).resolve().parents[2]
CERTIFICATES = "/certificates.pem"
BUILD_SECONDS = 900


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root made by debootstrap's smallest variant, with a clone of this repository in /root/ocirun."""
    facility.need(facility.root, facility.debootstrap, facility.busybox)
    root = tmp_path_factory.mktemp("root") / "fresh"
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


SMOKE = """
set -e
apt-get update -qq >&2
apt-get install -qq -y --no-install-recommends /ocirun.deb busybox-static >&2
dpkg --verify ocirun
test -d /usr/lib/ocirun/site-packages/jsonschema/__pycache__
mkdir -p /bundle/rootfs/bin && cd /bundle
cp /bin/busybox rootfs/bin/sh
ocirun spec
sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"sh", "-c", "echo ran"/' config.json
ocirun run smoke
ocirun validate
ocirun do -- echo sandboxed
zcat /usr/share/man/man8/ocirun.8.gz | head -n 1
cd /usr/share
ls bash-completion/completions/ocirun zsh/vendor-completions/_ocirun fish/vendor_completions.d/ocirun.fish
apt-get purge -qq -y ocirun >&2
find / -xdev -name '*ocirun*' ! -path '/root/*' ! -path '/ocirun.deb'
"""


def test_the_debian_package(fresh: Path) -> None:
    """The same bytes each time; it brings what it needs, works, and leaves nothing behind."""
    subprocess.run(["./dev", "deb"], cwd=REPOSITORY, check=True, timeout=BUILD_SECONDS)
    (package,) = (REPOSITORY / "build").glob("ocirun_*.deb")
    made = package.read_bytes()
    again = {**os.environ, "TZ": "Asia/Tokyo", "HOME": "/"}
    subprocess.run(["sh", "release/deb.sh"], cwd=REPOSITORY, check=True, timeout=BUILD_SECONDS, env=again, umask=0o77)
    assert package.read_bytes() == made
    field = subprocess.run(["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=True).stdout
    named = {row["name"] for row in dependencies.rows() if row["for"] == "package"}
    assert {each.split()[0] for each in field.split(", ")} == named
    shutil.copy(package, fresh / "ocirun.deb")
    done = enter(fresh, SMOKE)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [
        line for line in done.stdout.splitlines() if line.startswith(("ran", "sandboxed", "config.json: no", ".TH"))
    ]
    assert [line.split()[0] for line in said] == ["ran", "config.json:", "sandboxed", ".TH"]
    assert done.stdout.splitlines()[-3:] == [
        "bash-completion/completions/ocirun", "fish/vendor_completions.d/ocirun.fish", "zsh/vendor-completions/_ocirun"
    ]  # fmt: skip


@pytest.mark.executes("README.md", 1, 2)
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
