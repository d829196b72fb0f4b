"""Docker with everything private, as `engines.py` has Podman and containerd.

Rules: the daemon gets a containerd of its own, because without an address it would take the machine's when there is
one; it changes no network of the host: no bridge, no packet filter, no forwarding; it reads only the configuration
file that is written here.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .command import Output, run_command
from .console import Interactive
from .engines import TIMEOUT, Daemon, remove_empty_cgroups, start_containerd
from .facility import DOCKER, DOCKERD, overlayfs
from .image import write_rootfs_tar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOCKER_IMAGE = "busybox:test"
# The daemon makes this folder, for plugins that nobody brings, whatever its configuration says.
PLUGINS = Path("/run/docker/plugins")


def daemon_json(base: Path, runtime: Path, driver: str) -> dict[str, Any]:
    """`daemon.json` (the keys are dockerd(8)'s options)."""
    return {
        "hosts": [f"unix://{base}/socket"],
        "data-root": f"{base}/data",
        "exec-root": f"{base}/exec",
        "pidfile": f"{base}/pid",
        # The key's usual place is /etc/docker.
        "deprecated-key-path": f"{base}/key.json",
        "containerd": f"{base}/containerd/grpc",
        "containerd-namespace": base.name,
        "containerd-plugins-namespace": f"{base.name}-plugins",
        "runtimes": {"tested": {"path": str(runtime)}},
        "default-runtime": "tested",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "cgroup-parent": f"/{base.name}",
        "storage-driver": driver,
        "bridge": "none",
        "iptables": False,
        "ip-forward": False,
        "ip-masq": False,
        "userland-proxy": False,
        # The usual -500 needs CAP_SYS_RESOURCE, and so do limits above those of the tests.
        "oom-score-adjust": int(Path("/proc/self/oom_score_adj").read_text()),
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 1024}},
    }


# BuildKit in dockerd 20.10 runs what PATH has as `runc`, whatever the default runtime is.
STAND_IN = """\
#!/bin/sh
printf '%s\\n' "$*" >>{base}/buildkit
exec {runtime} "$@"
"""


def unmount(path: Path) -> None:
    """Unmount what is mounted there, if anything is; os.path.ismount does not know a bind mount."""
    if str(path) in [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]:
        subprocess.run(["umount", path], check=True, timeout=TIMEOUT)


class Docker:
    """A dockerd and a containerd of our own; the name of `base` is the parent of all containers' cgroups.

    `settings` are further keys of daemon.json, or other values (None: without the key); `options` are dockerd's;
    `prefix` is a command that executes the rest of its command line, such as nsenter(1); `containerd` is more of
    containerd's configuration.
    """

    def __init__(
        self,
        base: Path,
        runtime: Path,
        rootfs: Path,
        *,
        settings: Mapping[str, Any] = MappingProxyType({}),
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
        containerd: str = "",
    ) -> None:
        self.base = base
        self.cgroup = base.name
        self._count = itertools.count(1)
        self._missing = [folder for folder in (PLUGINS, PLUGINS.parent) if not folder.exists()]
        self.env = {**os.environ, "DOCKER_CONFIG": str(base / "client")}
        for folder in ("calls", "containerd", "bin"):
            (base / folder).mkdir()
        stand_in = base / "bin" / "runc"
        stand_in.write_text(STAND_IN.format(base=base, runtime=runtime))
        stand_in.chmod(0o755)
        config = base / "daemon.json"
        driver = "vfs" if overlayfs() else "overlay2"
        keys = {**daemon_json(base, runtime, driver), **settings}
        config.write_text(json.dumps({key: value for key, value in keys.items() if value is not None}))
        self._argv = [*prefix, DOCKERD, "--config-file", str(config), *options]
        self._containerd = start_containerd(base / "containerd", prefix, containerd)
        try:
            self.start_daemon()
        except BaseException:
            self._containerd.stop()
            raise
        try:
            self.call("import", str(write_rootfs_tar(rootfs, base / "rootfs.tar")), DOCKER_IMAGE).ok()
        except BaseException:
            self._stop()
            raise

    def start_daemon(self) -> None:
        """A dockerd that answers when this returns; the one before has been stopped or killed."""
        env = {**os.environ, "PATH": f"{self.base}/bin:{os.environ['PATH']}"}
        self.daemon = Daemon(self._argv, self.base / "log", env)
        self.daemon.wait(lambda: self.call("version").code == 0)

    def argv(self, *args: str) -> list[str]:
        """The full command line of one call."""
        return [DOCKER, "--host", f"unix://{self.base}/socket", *args]

    def call(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] = MappingProxyType({})) -> Output:
        """Any docker command; `env` adds to its environment."""
        return self.execute(self.argv(*args), stdin, env)

    def run(self, *args: str, stdin: bytes = b"") -> Output:
        """`docker run`; the image's name is `DOCKER_IMAGE`."""
        return self.execute(self.argv("run", *args), stdin)

    def interactive(self, *args: str) -> Interactive:
        """Any docker command on a terminal."""
        return Interactive(self.argv(*args), env=self.env)

    def inspect(self, container: str, template: str) -> str:
        """One value of `docker inspect`."""
        return self.call("inspect", "--format", template, container).ok().out.strip()

    def remove_containers(self) -> None:
        """Force every container away, and the mount that the first with the host's network leaves for good."""
        for container in self.call("ps", "--all", "--quiet", "--no-trunc").ok().out.split():
            self.call("rm", "--force", container).ok()
        unmount(self.base / "exec" / "netns" / "default")

    def close(self) -> None:
        """Remove the containers, end the daemons, remove the cgroup parent and the folder for plugins.

        And the mount on `data`, which a daemon that comes after a killed one takes for somebody else's.
        """
        try:
            self.remove_containers()
        finally:
            self._stop()
        unmount(self.base / "data")
        remove_empty_cgroups(self.cgroup)
        for folder in self._missing:
            if folder.exists():
                folder.rmdir()

    def _stop(self) -> None:
        """The daemon first: it ends its work with containerd by itself."""
        try:
            self.daemon.stop()
        finally:
            self._containerd.stop()

    def execute(self, argv: Sequence[str], stdin: bytes = b"", env: Mapping[str, str] = MappingProxyType({})) -> Output:
        """Any command, with the environment of the client."""
        files = self.base / "calls" / f"{next(self._count):04d}"
        return run_command(argv, files, stdin=stdin, env={**self.env, **env}, timeout=TIMEOUT)
