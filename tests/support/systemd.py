"""The systemd of the machine that `./dev test-vm --lane systemd` boots, and that of the plain user it has there.

Rules: systemd is asked over its bus with its own tools; a user's instance runs only as long as a test needs it.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = 5000
"""The uid and gid of the user `rootless`, who has 65536 subordinate ids from 500000 on (tests/vm/systemd.sh)."""
RUNTIME_DIRECTORY = Path(f"/run/user/{USER}")
USER_CGROUP = Path(f"/sys/fs/cgroup/user.slice/user-{USER}.slice/user@{USER}.service")


def asked(*words: str, accept: tuple[int, ...] = (0,)) -> str:
    """What a command prints, without the last newline; AssertionError with all of it when its code is not accepted."""
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in accept, f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout.rstrip("\n")


def as_user(*words: str) -> list[str]:
    """The command line that becomes the user `rootless`, with his systemd's addresses in the environment."""
    addresses = (f"XDG_RUNTIME_DIR={RUNTIME_DIRECTORY}", f"DBUS_SESSION_BUS_ADDRESS=unix:path={RUNTIME_DIRECTORY}/bus")
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", *addresses, *words]


def unit_property(unit: str, name: str, *options: str) -> str:
    """One property of a unit, as systemctl(1) shows it; empty for one that systemd does not know."""
    return asked("systemctl", *options, "show", "--property", name, "--value", unit)


def unit_properties(unit: str, *names: str) -> dict[str, str]:
    """Several properties."""
    lines = asked("systemctl", "show", "--property", ",".join(names), unit).splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def is_loaded(unit: str, *options: str) -> bool:
    """Whether systemd knows the unit, in whatever state."""
    return unit_property(unit, "LoadState", *options) != "not-found"


def group_of(unit: str, *options: str) -> Path:
    """The directory of the unit's cgroup."""
    return Path("/sys/fs/cgroup" + unit_property(unit, "ControlGroup", *options))


@contextmanager
def user_manager() -> Iterator[None]:
    """The user's systemd runs, with his runtime directory and a bus."""
    asked("systemctl", "start", f"user@{USER}.service")
    try:
        yield
    finally:
        asked("systemctl", "stop", f"user@{USER}.service", f"user-runtime-dir@{USER}.service")
