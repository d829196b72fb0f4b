"""AppArmor profiles of Kubernetes' security contexts, as the kernel shows them of the processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.apparmor import loaded
from support.cri import CriError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pods import Pods

pytestmark = pytest.mark.engines

PROFILE = f"ocirun-pods-{os.getpid()}"
TEXT = f"""
profile {PROFILE} flags=(attach_disconnected,mediate_deleted) {{
  file,
  capability,
  network,
  signal,
  deny /etc/passwd w,
}}
"""
# containerd writes and loads this one by itself.
DEFAULT = "cri-containerd.apparmor.d"


@pytest.fixture(scope="module", autouse=True)
def profile() -> Iterator[None]:
    """Loaded by the administrator of a node; unloaded at the end."""
    with loaded(TEXT):
        yield


@pytest.mark.parametrize(
    ("asked", "label"),
    [
        ({"apparmor": {"profile_type": "Localhost", "localhost_ref": PROFILE}}, f"{PROFILE} (enforce)"),
        ({"apparmor_profile": f"localhost/{PROFILE}"}, f"{PROFILE} (enforce)"),
        ({"apparmor": {"profile_type": "RuntimeDefault"}}, f"{DEFAULT} (enforce)"),
        ({"apparmor": {"profile_type": "Unconfined"}}, "unconfined"),
    ],
    ids=["localhost", "localhost of older kubelets", "runtime default", "unconfined"],
)
def test_the_profile_confines_the_container_and_what_is_executed_in_it(
    pods: Pods, asked: dict[str, object], label: str
) -> None:
    container = pods.run(pods.pod(), "sleep", "600", security=asked)
    assert Path(f"/proc/{pods.pid(container)}/attr/current").read_text().strip("\0\n") == label
    script = "cat /proc/self/attr/current; (echo >>/etc/passwd) 2>&1; true"
    current, *said = pods.shell(container, script).splitlines()
    assert current == label
    assert any("denied" in line for line in said) == (PROFILE in label)


def test_a_profile_that_is_not_loaded_is_refused(pods: Pods) -> None:
    security = {"apparmor": {"profile_type": "Localhost", "localhost_ref": "no-such-profile"}}
    with pytest.raises(CriError, match="no-such-profile"):
        pods.run(pods.pod(), "true", security=security)
