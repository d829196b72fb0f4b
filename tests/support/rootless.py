"""Podman called by a user without privileges.

The machine has no such user: each call runs in a mount namespace of its own, in which /etc knows one. Podman keeps a
process (`pause.pid`) with the user namespace of all its containers; closing the engine ends it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from pathlib import Path

from .command import process_alive, wait_for
from .engines import PODMAN_IMAGE, Podman
from .facility import find_program
from .image import write_rootfs_tar

USER = 1234
FIRST = 200000
"""The first subordinate id: the container's 1."""
GROUP = 7031
"""A supplementary group of the user."""
ENGINE_TABLE = """\
[engine]
runtime_supports_json = ["crun", "runc", "ocirun"]
"""


class RootlessPodman(Podman):
    """`base` becomes the user's home, with his storage and a XDG_RUNTIME_DIR in it."""

    def __init__(self, base: Path, runtime: Path, rootfs: Path) -> None:
        self.base = base
        self.cgroup = base.name
        self._count = itertools.count(1)
        self._had_cache = True
        for name in ("calls", "etc", "xdg"):
            (base / name).mkdir()
        if (runtime.parent.parent / "lib" / "ocirun").exists():
            for part in ("bin", "lib"):
                shutil.copytree(runtime.parent.parent / part, base / "runtime" / part)
            runtime = base / "runtime" / "bin" / runtime.name
        conf = base / "containers.conf"
        conf.write_text(ENGINE_TABLE)
        own = {"passwd": f"plain:x:{USER}:{USER}::{base}:/bin/sh\n", "group": f"plain:x:{USER}:\n"}
        own |= dict.fromkeys(("subuid", "subgid"), f"plain:{FIRST}:65536\n")
        mounts = ""
        for name, text in own.items():
            kept = Path("/etc", name).read_text() if name in ("passwd", "group") else ""
            (base / "etc" / name).write_text(kept + text)
            mounts += f"mount --bind {base}/etc/{name} /etc/{name} && "
        archive = write_rootfs_tar(rootfs, base / "rootfs.tar")
        for path in (base, base / "xdg", archive):
            os.chown(path, USER, USER)
        (base / "xdg").chmod(0o700)
        base.chmod(0o755)
        self.env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(base), "CONTAINERS_CONF": str(conf)}
        self.env["XDG_RUNTIME_DIR"] = str(base / "xdg")
        become = [find_program("setpriv") or "setpriv", f"--reuid={USER}", f"--regid={USER}", f"--groups={GROUP}"]
        script = f'{mounts} cd / && exec "$@"'
        self.become = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *become]
        self.options = ["--runtime", str(runtime), "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs"]
        self.options += ["--events-backend", "file"]
        self.call("import", str(archive), PODMAN_IMAGE).ok()

    def argv(self, *args: str) -> list[str]:
        """The full command line, which gives root up first."""
        return [*self.become, "podman", *self.options, *args]

    def run_argv(self, *args: str) -> list[str]:
        """`podman run`: a user's limits are what they are, and he has no cgroups here."""
        return self.argv("run", *args)

    def remove_pod(self, pod: str) -> None:
        """A user's pods have no cgroups on v1."""
        self.call("pod", "rm", "--force", "--time", "0", pod).ok()

    def close(self) -> None:
        """Remove the containers and end the process that keeps their user namespace."""
        self.remove_containers()
        keeper = self.base / "xdg" / "libpod" / "tmp" / "pause.pid"
        if keeper.exists():
            pid = int(keeper.read_text())
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not process_alive(pid), what=f"the end of {pid}")
