"""The session keyring: a new one for each container and each `exec`, the caller's with --no-new-keyring (keyctl(2))."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import default_config, with_shell, with_user_namespace
from support.command import Output, run_command
from support.facility import requires

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

# A session keyring of its own, with a key that only those who possess it may see; then the program.
CALLER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY, KEYCTL = 248, 250
JOIN_SESSION_KEYRING, SETPERM = 1, 5
POSSESSOR_ONLY = 0x3F000000
SESSION = -3
def done(result):
    if result < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    return result
done(libc.syscall(KEYCTL, JOIN_SESSION_KEYRING, b"callers-ring"))
key = done(libc.syscall(ADD_KEY, b"user", b"callers-key", b"payload", 7, SESSION))
done(libc.syscall(KEYCTL, SETPERM, key, POSSESSOR_ONLY))
os.execv(sys.argv[1], sys.argv[1:])
"""


def keys() -> str:
    """A kernel with keyrings, which this user may use."""
    return facility._tried(sys.executable, "-c", CALLER, "/bin/true")


def with_keys(box: Box, *words: str) -> Output:
    """The runtime, called by somebody who has a key."""
    head = [sys.executable, "-c", CALLER, str(box.runtime.path), "--root", str(box.runtime.root)]
    return run_command([*head, *words], box.directory / "out").ok()


def showing() -> Config:
    """A program that prints the keys that it sees (proc_keys(5)); engines mask the file."""
    config = with_shell(default_config(), "cat /proc/keys")
    config["linux"]["maskedPaths"] = []
    return config


@requires(keys)
def test_the_callers_keys_stay_outside(box: Box) -> None:
    out = with_keys(box, "run", "--bundle", str(box.write(showing())), box.ident).out
    assert f" _ses.{box.ident}: " in out
    assert "callers-key" not in out


@requires(keys)
def test_no_new_keyring_keeps_the_callers(box: Box) -> None:
    out = with_keys(box, "run", "--no-new-keyring", "--bundle", str(box.write(showing())), box.ident).out
    assert " callers-key: " in out
    assert f"_ses.{box.ident}" not in out


@requires(keys)
def test_exec_has_no_keys_of_its_caller(box: Box) -> None:
    box.start_sleeper(showing())
    out = with_keys(box, "exec", box.ident, "cat", "/proc/keys").out
    assert f" _ses.{box.ident}: " in out
    assert "callers-key" not in out


@requires(keys, facility.user_namespace)
def test_a_container_in_a_user_namespace_has_a_keyring_too(box: Box) -> None:
    config = with_user_namespace(showing())
    out = with_keys(box, "run", "--bundle", str(box.write(config)), box.ident).out
    assert f" _ses.{box.ident}: " in out
    assert "callers-key" not in out
