"""--no-pivot leaves the host's tree mounted below the root: nothing of it may help to get around the masks."""

from __future__ import annotations

import pytest
from security.box import Box, plain_config
from support.facility import need, user_namespace

pytestmark = [pytest.mark.security, pytest.mark.privileged]

INNER = {
    "proc": ["unshare", "-mrpf", "mount", "-t", "proc", "none", "/proc"],
    "sysfs": ["unshare", "-mrn", "mount", "-t", "sysfs", "none", "/sys"],
}
"""A namespace of one's own, and in it a filesystem without the masks and the read-only mounts of the container's."""


@pytest.mark.parametrize("options", [(), ("--no-pivot",)], ids=["pivot", "no-pivot"])
@pytest.mark.parametrize("kind", INNER)
@pytest.mark.parametrize("hooked", [False, True], ids=["plain", "hooked"])
def test_no_fresh_view_of_the_kernel(box: Box, kind: str, options: tuple[str, ...], hooked: bool) -> None:
    need(user_namespace)
    config = plain_config(*INNER[kind])
    for name in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][name] += ["CAP_SETFCAP", "CAP_SYS_ADMIN"]
    if hooked:
        config["hooks"] = {"createContainer": [{"path": "/bin/true"}]}
    done = box.raw(*box.command("run", *options, "--bundle", str(box.write(config)), box.ident))
    assert "permission denied" in done.err.lower(), done.details()
