"""One attack's surroundings: a bundle, an id that is unique on the host, a runtime with a private root.

Rules: everything that the runtime makes carries the id, so that a scoped HostSnapshot sees it and nothing else; the
configuration is the usual one without the cgroup mount, which these tests have no use for.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.bundle import default_config, make_rootfs, write_bundle
from support.command import DEFAULT_TIMEOUT, Output, run_command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from support.runtime import Runtime

Config = dict[str, Any]


def plain_config(*args: str) -> Config:
    """The default configuration without the cgroup mount."""
    config = default_config(*args)
    config["mounts"] = [entry for entry in config["mounts"] if entry["type"] != "cgroup"]
    return config


def minimal_config(*args: str) -> Config:
    """Only what a program needs: few steps, so that a round of create, start and delete is short."""
    config = plain_config(*args)
    config["mounts"] = config["mounts"][:1]
    del config["linux"]["maskedPaths"], config["linux"]["readonlyPaths"]
    return config


@dataclass(frozen=True)
class Box:
    """What a test gets: `base` is a private directory whose name is `ident`."""

    runtime: Runtime
    base: Path
    ident: str

    @property
    def rootfs(self) -> Path:
        """The image, made on first use."""
        path = self.base / "bundle" / "rootfs"
        if not path.exists():
            path.mkdir(parents=True)
            make_rootfs(path)
        return path

    def write(self, config: Config) -> Path:
        """Write the configuration; returns the bundle."""
        return write_bundle(self.rootfs.parent, config)

    def command(self, *args: str) -> list[str]:
        """The runtime's command line with this box's --root."""
        return [str(self.runtime.path), "--root", str(self.runtime.root), *args]

    def raw(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Output:
        """Run any command, its output in this box."""
        return run_command(argv, self.base / "raw", env=env, pass_fds=pass_fds, timeout=timeout)

    def sentinel(self, name: str = "host-data") -> Sentinel:
        """A directory of the host that no attack may change or reach."""
        directory = self.base / name
        directory.mkdir()
        (directory / "secret").write_text("of the host\n")
        (directory / "null").write_text("a plain file\n")
        (directory / "inner").mkdir()
        return Sentinel(directory, *Sentinel.look(directory))


@dataclass(frozen=True)
class Sentinel:
    """A host directory as it was when the test began."""

    directory: Path
    content: frozenset[str]
    mounts: frozenset[str]

    @staticmethod
    def look(directory: Path) -> tuple[frozenset[str], frozenset[str]]:
        """Names with type, mode, owner and content; and the host's mounts that mention the directory."""
        content = set()
        for path in [directory, *directory.rglob("*")]:
            found = path.lstat()
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            content.add(f"{path} {found.st_mode:o} {found.st_uid} {found.st_gid} {found.st_rdev} {data!r}")
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return frozenset(content), frozenset(line for line in lines if str(directory) in line)

    def assert_unchanged(self) -> None:
        """AssertionError naming what was added, removed or changed."""
        content, mounts = self.look(self.directory)
        assert content == self.content, f"the host's directory was changed: {sorted(content ^ self.content)}"
        assert mounts == self.mounts, f"the host's mounts were changed: {sorted(mounts ^ self.mounts)}"


def copy_program(program: Path, rootfs: Path, name: str) -> None:
    """Put a program into the image, executable for everyone."""
    target = rootfs / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, target)
    os.chmod(target, 0o755)
