"""The profiles that Docker and Podman hand over: they compile, behave, and cost little once they are cached.

The configs lie outside the repository: in the folder that OCIRUN_SHARED names, or in `shared` beside the repository.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocirun.linux import seccomp
from ocirun.linux.seccomp.names import ARCHITECTURES

pytestmark = pytest.mark.kernel

SHARED = Path(os.environ.get("OCIRUN_SHARED") or Path(__file__).parents[4] / "shared")
X86 = ARCHITECTURES["SCMP_ARCH_X86"]
POINTER = "/linux/seccomp"
CLONE_NEWUSER = 0x10000000
NETLINK_AUDIT = 9
ROUNDS = 5
NOBODY: Any = None
UNKNOWN = 100000

Load = Callable[[str], dict[str, Any]]


def engine_profile(name: str) -> dict[str, Any]:
    path = SHARED / "engine-configs" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"needs {path.name} in {path.parent} (OCIRUN_SHARED)")
    profile: dict[str, Any] = json.loads(path.read_text())["linux"]["seccomp"]
    return profile


def test_docker(verdicts: Any, number: Any) -> None:
    """A newer number falls back (ENOSYS), clone3 too because it cannot be inspected, a known one is refused (EPERM)."""
    expected = {
        (number("getpid"),): None,
        (number("mount"), 0, 0, 0, 0, 0): -errno.EPERM,
        (number("kexec_load"), 0, 0, 0, 0): -errno.EPERM,
        (number("unshare"), CLONE_NEWUSER): -errno.EPERM,
        (number("clone"), CLONE_NEWUSER, 0, 0, 0, 0): -errno.EPERM,
        (number("clone3"), 0, 0): -errno.ENOSYS,
        (UNKNOWN,): -errno.ENOSYS,
        (number("personality"), 0xFFFF_FFFF): 0,
        (number("personality"), 0x0004_0000): -errno.EPERM,
        (number("socket"), socket.AF_ALG, socket.SOCK_SEQPACKET, 0): -errno.EPERM,
        (number("socket"), socket.AF_VSOCK, socket.SOCK_STREAM, 0): -errno.EPERM,
        (number("socket"), -1, socket.SOCK_STREAM, 0): -errno.EAFNOSUPPORT,
        (number("openat2"), -1, 0, 0, 0): -errno.EINVAL,
    }
    answers = verdicts(engine_profile("docker29-1"), list(expected)).answers
    assert answers[0] > 0
    assert answers[1:] == list(expected.values())[1:]


def test_docker_from_a_32_bit_program(verdicts: Any, number: Any, x86_call: Any) -> None:
    calls = [
        (number("getuid32", X86),),
        (number("mount", X86), 0, 0, 0),
        (UNKNOWN,),
        (number("getppid", X86),),
    ]
    answers = verdicts(engine_profile("docker29-1"), calls, x86_call).answers
    assert answers == [os.getuid(), -errno.EPERM, -errno.ENOSYS, os.getpid()]


def test_podman(verdicts: Any, number: Any) -> None:
    """Everything unknown is ENOSYS there, and what is refused is named."""
    expected = {
        (number("getpid"),): None,
        (number("kexec_load"), 0, 0, 0, 0): -errno.EPERM,
        (number("init_module"), 0, 0, 0): -errno.EPERM,
        (number("open_by_handle_at"), -1, 0, 0): -errno.EPERM,
        (number("bpf"), 0, 0, 0): -errno.EPERM,
        (number("socket"), socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT): -errno.EINVAL,
        (number("socket"), -1, socket.SOCK_RAW, NETLINK_AUDIT): -errno.EAFNOSUPPORT,
        (UNKNOWN,): -errno.ENOSYS,
        (number("personality"), 0xFFFF_FFFF): 0,
        (number("personality"), 0x0004_0000): -errno.ENOSYS,
    }
    answers = verdicts(engine_profile("podman54-1"), list(expected)).answers
    assert answers[0] > 0
    assert answers[1:] == list(expected.values())[1:]


@pytest.mark.parametrize("name", ["docker29-1", "podman54-1"])
def test_a_hit_is_many_times_faster_than_a_miss(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The best of a few rounds each; the factor measured is near 300, so ten holds on a busy machine too."""
    profile = engine_profile(name)

    def seconds(folder: Path) -> float:
        begin = time.perf_counter()
        outside, _ = seccomp.plan(profile, POINTER, str(folder))
        outside.do(outside, NOBODY)
        return time.perf_counter() - begin

    miss = min(seconds(tmp_path / str(index)) for index in range(ROUNDS))
    hit = min(seconds(tmp_path / "0") for _ in range(ROUNDS))
    record_property("milliseconds", {"miss": round(miss * 1e3, 2), "hit": round(hit * 1e3, 3)})
    with capsys.disabled():
        print(f"\n{name}: seccomp filter compiled in {miss * 1e3:.1f} ms, from the cache in {hit * 1e3:.3f} ms")
    assert hit * 10 < miss
