"""Podman and containerd with everything private: storage, state, sockets, cgroups and the runtime's own root.

Rules: an engine lives in one short directory (socket paths are limited to 107 bytes); daemons are started and stopped
by pid; closing an engine removes its containers first, because shims and conmon outlive the engine, and then the
cgroups that only engines make and no runtime removes. Docker is in `docker.py`.
"""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import shutil
import signal
import subprocess
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .command import Output, parent_of, process_alive, run_command, wait_for
from .console import Interactive
from .host import cgroup_mountpoints
from .image import write_image_archive, write_rootfs_tar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PODMAN_IMAGE = "localhost/busybox:test"
CONTAINERD_IMAGE = "registry.invalid/busybox:test"
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""
PODMAN_CACHE = Path("/var/lib/containers")
# Emulated machines are slow.
TIMEOUT = 60.0


def remove_empty_cgroups(name: str) -> None:
    """Remove the top-level cgroup `name` with its children from every hierarchy; a busy one is waited for.

    conmon(8) ends after the container that it has looked after.
    """
    for point in cgroup_mountpoints():
        directories = [Path(base) for base, _, _ in os.walk(point / name)]
        for path in reversed(directories):
            wait_for(partial(_removed, path), TIMEOUT, f"the end of what is in {path}")


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except OSError as problem:
        if problem.errno != errno.EBUSY:
            raise
        return False
    return True


@contextmanager
def private_directory() -> Iterator[Path]:
    """A short directory whose name is unique on the host; its name is also the engine's cgroup.

    And containerd's namespace, where two ``_`` in a row, which mkdtemp(3) may choose, are refused.
    """
    directory = Path("/tmp", f"ocirun-engine-{secrets.token_hex(4)}")
    directory.mkdir(mode=0o700)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def remove_plain_directories(name: str) -> None:
    """Remove `name` from the directories of /sys/fs/cgroup that are no hierarchies.

    Podman makes such, with plain files in them, for each v1 controller that the machine has not mounted, and then fails
    to remove its own pods there.
    """
    mounted = cgroup_mountpoints()
    for directory in Path("/sys/fs/cgroup").iterdir():
        if directory.is_dir() and directory not in mounted and not Path("/sys/fs/cgroup/cgroup.controllers").exists():
            shutil.rmtree(directory / name, ignore_errors=True)


SLOW = """\
#!/bin/sh
for each in create start; do
    case " $* " in
    *" $each "*)
        : >{base}/called-$each
        while [ -e {base}/hold-$each ]; do sleep 0.02; done
        ;;
    esac
done
exec {runtime} "$@"
"""


def slow_runtime(base: Path, runtime: Path) -> Path:
    """A runtime that makes `called-COMMAND` in `base` and waits there while a `hold-COMMAND` is: create and start."""
    path = base / "slow"
    path.write_text(SLOW.format(base=base, runtime=runtime))
    path.chmod(0o755)
    return path


class Daemon:
    """A daemon of ours that writes into `log`; whoever makes one stops it."""

    def __init__(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.argv = tuple(argv)
        self.log_path = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=env)

    def wait(self, answers: Callable[[], bool]) -> None:
        """Poll until `answers`; AssertionError with the log, and the daemon is stopped, when that does not happen."""
        try:
            wait_for(lambda: self._alive() and answers(), TIMEOUT, f"the answer of {self.argv[0]}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """TERM, and KILL when it has not ended by itself after a while."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert not process_alive(self._process.pid)

    def kill(self) -> None:
        """KILL: it gets no chance to clean up."""
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """The daemon's process."""
        return self._process.pid

    def log(self) -> str:
        """What the daemon and its children wrote."""
        return self.log_path.read_text(errors="replace")

    def _alive(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"{self.argv[0]} ended with code {self._process.returncode}: {self.log()}")
        return True


class Podman:
    """Podman with a private store; `cgroup` is the parent of all its containers' cgroups."""

    def __init__(self, base: Path, runtime: Path, rootfs: Path) -> None:
        self.base = base
        self.cgroup = base.name
        self._count = itertools.count(1)
        self._had_cache = PODMAN_CACHE.exists()
        (base / "calls").mkdir()
        # Of containers that Podman makes by itself: see run_argv.
        (base / "containers.conf").write_text(CONTAINERS_CONF)
        # Without this an installation's own containers.conf would decide about defaults.
        self.env = {**os.environ, "CONTAINERS_CONF": str(base / "containers.conf")}
        self.options = [
            *("--runtime", str(runtime), "--root", str(base / "root"), "--runroot", str(base / "run")),
            *("--tmpdir", str(base / "tmp"), "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs"),
            *("--events-backend", "file"),
        ]
        self.call("import", str(write_rootfs_tar(rootfs, base / "rootfs.tar")), PODMAN_IMAGE).ok()

    def argv(self, *args: str) -> list[str]:
        """The full command line of one call."""
        return ["podman", *self.options, *args]

    def run_argv(self, *args: str) -> list[str]:
        """`podman run` with what a machine without CAP_SYS_RESOURCE needs.

        Podman asks for the kernel's maximum of nofile and nproc unless both are given, which raises hard limits, and
        `--ulimit host` does not stop it from doing so.
        """
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        return self.argv("run", *limits, "--cgroup-parent", f"/{self.cgroup}", *args)

    def call(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Output:
        """Any podman command."""
        return self._execute(self.argv(*args), stdin, env)

    def run(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Output:
        """`podman run`; the image's name is `PODMAN_IMAGE`."""
        return self._execute(self.run_argv(*args), stdin, env)

    def interactive(self, *args: str) -> Interactive:
        """`podman run` on a terminal."""
        return Interactive(self.run_argv(*args), env=self.env)

    def inspect(self, container: str, template: str) -> str:
        """One value of `podman inspect`."""
        return self.call("inspect", "--format", template, container).ok().out.strip()

    def remove_containers(self) -> None:
        """Force every pod and container away."""
        for pod in self.call("pod", "ps", "--quiet").ok().out.split():
            self.remove_pod(pod)
        for container in self.call("ps", "--all", "--quiet").ok().out.split():
            self.call("rm", "--force", "--time", "0", container).ok()

    def remove_pod(self, pod: str) -> None:
        """Stop a pod and remove it, when its monitors have left the cgroups that go with it."""
        parent = self.call("pod", "inspect", "--format", "{{.CgroupParent}}", pod).ok().out.strip()
        identity = self.call("pod", "inspect", "--format", "{{.ID}}", pod).ok().out.strip()
        self.call("pod", "stop", "--time", "0", pod).ok()
        groups = [point / parent.strip("/") / identity / "conmon/cgroup.procs" for point in cgroup_mountpoints()]
        for procs in groups:
            wait_for(lambda procs=procs: not (procs.exists() and procs.read_text()), what=f"the end of {procs}")  # type: ignore[misc]
        remove_plain_directories(f"{parent.strip('/')}/{identity}")
        self.call("pod", "rm", "--force", "--time", "0", pod).ok()

    def close(self) -> None:
        """Remove the containers, the cgroup parent and what podman keeps outside its private directories."""
        self.remove_containers()
        remove_empty_cgroups(self.cgroup)
        remove_plain_directories(self.cgroup)
        if not self._had_cache and PODMAN_CACHE.exists():
            subprocess.run(["rm", "-rf", str(PODMAN_CACHE)], check=True, timeout=TIMEOUT)

    def _execute(self, argv: Sequence[str], stdin: bytes, env: Mapping[str, str] | None) -> Output:
        files = self.base / "calls" / f"{next(self._count):04d}"
        return run_command(argv, files, stdin=stdin, env=self.env if env is None else env, timeout=TIMEOUT)


CONTAINERD_CONFIG = """\
version = 2
root = "{base}/root"
state = "{base}/state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{base}/grpc"

[ttrpc]
  address = "{base}/ttrpc"
"""


def start_containerd(base: Path, prefix: Sequence[str] = (), more: str = "") -> Daemon:
    """A containerd whose files are in `base`, where `grpc` is its address; it answers when this returns.

    `prefix` is a command that executes the rest of its command line, such as nsenter(1); `more` is more of its
    configuration.
    """
    config = base / "config.toml"
    config.write_text(CONTAINERD_CONFIG.format(base=base) + more)
    daemon = Daemon([*prefix, "containerd", "--config", str(config)], base / "log")
    ask = ["ctr", "--address", str(base / "grpc"), "version"]
    daemon.wait(lambda: run_command(ask, base / "asked", timeout=TIMEOUT).code == 0)
    return daemon


class Containerd:
    """A containerd of our own with `ctr`; its namespace, and so its parent cgroup, is named after the directory."""

    def __init__(self, base: Path, runtime: Path, rootfs: Path, snapshotter: str) -> None:
        self.base = base
        self.runtime = runtime
        self.snapshotter = snapshotter
        self.namespace = base.name
        self.runc_root = base / "runtime"
        self._count = itertools.count(1)
        (base / "calls").mkdir()
        self._daemon = start_containerd(base)
        try:
            archive = write_image_archive(rootfs, base, CONTAINERD_IMAGE)
            self.call("images", "import", "--snapshotter", snapshotter, str(archive)).ok()
        except BaseException:
            self._daemon.stop()
            raise

    def argv(self, *args: str) -> list[str]:
        """The full command line of one call."""
        return ["ctr", "--address", str(self.base / "grpc"), "--namespace", self.namespace, *args]

    def run_argv(self, options: Sequence[str], container: str, *args: str) -> list[str]:
        """`ctr run` with the runtime under test and a runtime root of ours."""
        own = ["--snapshotter", self.snapshotter, "--runc-binary", str(self.runtime)]
        own += ["--runc-root", str(self.runc_root), "--fifo-dir", str(self.base / "fifo")]
        return self.argv("run", *own, *options, CONTAINERD_IMAGE, container, *args)

    def call(self, *args: str, stdin: bytes = b"") -> Output:
        """Any ctr command."""
        return self._execute(self.argv(*args), stdin)

    def run(self, options: Sequence[str], container: str, *args: str, stdin: bytes = b"") -> Output:
        """`ctr run OPTIONS IMAGE CONTAINER ARGS`."""
        return self._execute(self.run_argv(options, container, *args), stdin)

    def exec(self, container: str, *args: str, options: Sequence[str] = ()) -> Output:
        """`ctr tasks exec` under a fresh exec id."""
        name = f"exec{next(self._count)}"
        own = ["--exec-id", name, "--fifo-dir", str(self.base / "fifo")]
        return self.call("tasks", "exec", *own, *options, container, *args)

    def interactive(self, options: Sequence[str], container: str, *args: str) -> Interactive:
        """`ctr run --tty` on a terminal."""
        return self.program(self.run_argv(["--tty", *options], container, *args))

    def program(self, argv: Sequence[str]) -> Interactive:
        """Any command line on a terminal."""
        return Interactive(argv)

    def task_status(self, container: str) -> str:
        """RUNNING, STOPPED, PAUSED, CREATED; empty when there is no task."""
        for line in self.call("tasks", "list").ok().out.splitlines()[1:]:
            fields = line.split()
            if fields and fields[0] == container:
                return fields[2]
        return ""

    def task_pid(self, container: str) -> int:
        """The pid of the task's init on the host."""
        lines = self.call("tasks", "list").ok().out.splitlines()[1:]
        return next(int(line.split()[1]) for line in lines if line.split()[0] == container)

    def remove_containers(self) -> None:
        """Force every task and container away."""
        for task in self.call("tasks", "list", "--quiet").ok().out.split():
            self.call("tasks", "delete", "--force", task)
        for container in self.call("containers", "list", "--quiet").ok().out.split():
            self.call("containers", "delete", container).ok()

    def shim_pid(self, container: str) -> int:
        """The pid of the shim that serves a task: the parent of its init."""
        return parent_of(self.task_pid(container))

    def crash(self) -> None:
        """Kill the daemon; its shims live on, and it can do nothing until `restart`."""
        self._daemon.kill()

    def restart(self) -> None:
        """Start the daemon again after `crash`; it looks for its shims."""
        self._daemon = start_containerd(self.base)

    def close(self) -> None:
        """Remove the containers, end the daemon, remove the namespace's cgroup."""
        try:
            self.remove_containers()
        finally:
            self._daemon.stop()
        remove_empty_cgroups(self.namespace)

    def _execute(self, argv: Sequence[str], stdin: bytes) -> Output:
        return run_command(argv, self.base / "calls" / f"{next(self._count):04d}", stdin=stdin, timeout=TIMEOUT)
