"""Pods as a kubelet makes them: containerd with its CRI plugin, configured as `docs/engines/containerd.md` says.

Rules: everything of it is in one short directory, the network of a pod too, which has a loopback device alone; all
cgroups are below one, or a slice, that is named after the directory; containers are named by their CRI id.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .command import run_command, wait_for
from .cri import CriClient, CriError, Fields
from .engines import TIMEOUT, Daemon, remove_empty_cgroups
from .image import write_image_archive
from .pages import INSTALLED, containerd_runtimes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HANDLER = "ocirun"
IMAGE = "registry.invalid/busybox:test"
PAUSE_IMAGE = "registry.invalid/pause:test"
PRIVATE_CONFIG = """
root = "{base}/root"
state = "{base}/state"
disabled_plugins = [
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

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  netns_mounts_under_state_dir = true
  # The kubelet asks for scores below that of containerd, which only CAP_SYS_RESOURCE may give.
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{base}/cni/bin"
  conf_dir = "{base}/cni/conf"

{default}  snapshotter = "{snapshotter}"

"""
NETWORK_CONFIG = '{"cniVersion": "0.4.0", "name": "unit", "plugins": [{"type": "unit"}]}'
# A network plugin (CNI specification 0.4.0, section 3) that brings the loopback device up and promises an address.
NETWORK_PLUGIN = """#!/bin/sh
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.4.0", "0.3.1"]}' ;;
ADD)
    nsenter --net="$CNI_NETNS" ip link set lo up || exit 1
    printf '{"cniVersion": "0.4.0", "interfaces": [{"name": "%s", "sandbox": "%s"}],' "$CNI_IFNAME" "$CNI_NETNS"
    echo '"ips": [{"version": "4", "interface": 0, "address": "192.0.2.2/32"}]}'
    ;;
esac
"""


class Pods:
    """containerd and a client of its CRI plugin.

    `write` puts the runtime into the configuration, whose last table is that of the runtime's options afterwards;
    without it the blocks of the page do that.
    """

    def __init__(
        self,
        base: Path,
        runtime: Path,
        rootfs: Path,
        snapshotter: str,
        driver: Literal["cgroupfs", "systemd"] = "cgroupfs",
        write: Callable[[Path], None] | None = None,
    ) -> None:
        self.base = base
        self.driver = driver
        self.cgroup = f"/{base.name}" if driver == "cgroupfs" else f"/{base.name.replace('-', '_')}.slice"
        self._count = itertools.count(1)
        self._snapshotter = snapshotter
        self._configs: dict[str, Fields] = {}
        self._owners: dict[str, str] = {}
        (base / "calls").mkdir()
        self._write_network()
        self._daemon = self._start(runtime, write)
        try:
            self.client = CriClient(base / "grpc", base)
            self._import(rootfs, IMAGE, ["sh"])
            self._import(rootfs, PAUSE_IMAGE, ["sleep", "1000000"])
        except BaseException:
            self._daemon.stop()
            raise

    def _write_network(self) -> None:
        for folder in ("cni", "cni/bin", "cni/conf", "logs"):
            (self.base / folder).mkdir()
        (self.base / "cni/conf/10-unit.conflist").write_text(NETWORK_CONFIG)
        for name in ("loopback", "unit"):
            plugin = self.base / "cni/bin" / name
            plugin.write_text(NETWORK_PLUGIN)
            plugin.chmod(0o755)

    def _start(self, runtime: Path, write: Callable[[Path], None] | None) -> Daemon:
        config = self.base / "config.toml"
        runtimes, default = containerd_runtimes()
        page = runtimes.replace(INSTALLED, str(runtime))
        if self.driver == "systemd":
            page = page.replace("SystemdCgroup = false", "SystemdCgroup = true")
        options = f'  Root = "{self.base}/runtime"\n'
        version, _, tables = page.partition("\n")
        private = PRIVATE_CONFIG.format(
            base=self.base, pause=PAUSE_IMAGE, default=default, snapshotter=self._snapshotter
        )
        # The last table of the page is that of the runtime's options.
        config.write_text(f"{version}\n{private}{'' if write else tables}")
        if write:
            write(config)
        with config.open("a") as file:
            file.write(options)
        daemon = Daemon(["containerd", "--config", str(config)], self.base / "log")
        ask = ["ctr", "--address", str(self.base / "grpc"), "version"]
        daemon.wait(lambda: run_command(ask, self.base / "asked", timeout=TIMEOUT).code == 0)
        return daemon

    def _import(self, rootfs: Path, name: str, command: Sequence[str]) -> None:
        folder = self.base / f"image-{next(self._count)}"
        folder.mkdir()
        archive = write_image_archive(rootfs, folder, name, command)
        options = ["--address", str(self.base / "grpc"), "--namespace", "k8s.io", "images", "import"]
        argv = ["ctr", *options, "--snapshotter", self._snapshotter, str(archive)]
        run_command(argv, folder / "import", timeout=TIMEOUT).ok()
        known = {"image": {"image": name}}
        wait_for(lambda: self.client.call("ImageStatus", known).get("image"), TIMEOUT, f"the image {name}")

    def pod(
        self,
        name: str = "pod",
        network: str = "NODE",
        security: Fields | None = None,
        handler: str = HANDLER,
        **linux: Any,
    ) -> str:
        """Run a pod sandbox; `security` is its LinuxSandboxSecurityContext, `linux` more of LinuxPodSandboxConfig."""
        number = next(self._count)
        context = dict(security or {})
        context["namespace_options"] = {"network": network, "pid": "CONTAINER", **context.get("namespace_options", {})}
        config: Fields = {
            "metadata": {"name": name, "uid": f"{self.base.name}-{number}", "namespace": "default"},
            "log_directory": str(self.base / "logs" / f"{number}"),
            "labels": {"name": name},
            "linux": {"cgroup_parent": self.cgroup, "security_context": context, **linux},
        }
        if network != "NODE":
            config["hostname"] = name
        request = {"config": config, "runtime_handler": handler}
        pod = str(self.client.call("RunPodSandbox", request)["pod_sandbox_id"])
        self._configs[pod] = config
        return pod

    def create(self, pod: str, *command: str, security: Fields | None = None, **config: Any) -> str:
        """Create a container; `security` is its LinuxContainerSecurityContext, `config` more of ContainerConfig."""
        number = next(self._count)
        linux = {"security_context": security or {}, "resources": config.pop("resources", {})}
        options = security.get("namespace_options", {}) if security else {}
        sandbox = self._configs[pod]["linux"]["security_context"]["namespace_options"]
        linux["security_context"] = {**linux["security_context"], "namespace_options": {**sandbox, **options}}
        request = {
            "pod_sandbox_id": pod,
            "sandbox_config": self._configs[pod],
            "config": {
                "metadata": {"name": f"container-{number}"},
                "image": {"image": IMAGE},
                "command": list(command),
                "log_path": f"{number}.log",
                "linux": linux,
                **config,
            },
        }
        container = str(self.client.call("CreateContainer", request)["container_id"])
        self._owners[container] = pod
        return container

    def run(self, pod: str, *command: str, security: Fields | None = None, **config: Any) -> str:
        """Create and start."""
        container = self.create(pod, *command, security=security, **config)
        self.client.call("StartContainer", {"container_id": container})
        return container

    def output(self, pod: str, *command: str, security: Fields | None = None, **config: Any) -> str:
        """Run to the end; what the program has written on both streams, without the log's own columns."""
        container = self.run(pod, *command, security=security, **config)
        self.ended(container)
        return "".join(line.text for line in self.log(container))

    def exec(self, container: str, *command: str, timeout: int = 30) -> Fields:
        """ExecSync: `stdout`, `stderr` and `exit_code`."""
        return self.client.call("ExecSync", {"container_id": container, "cmd": list(command), "timeout": timeout})

    def shell(self, container: str, script: str) -> str:
        """The standard output of a script that has to succeed."""
        done = self.exec(container, "sh", "-c", script)
        assert done["exit_code"] == 0, done
        return str(done["stdout"])

    def status(self, container: str) -> Fields:
        """ContainerStatus."""
        status: Fields = self.client.call("ContainerStatus", {"container_id": container})["status"]
        return status

    def ended(self, container: str) -> Fields:
        """Wait for the container's end; its status then."""
        wait_for(lambda: self.status(container)["state"] == "CONTAINER_EXITED", TIMEOUT, f"the end of {container}")
        return self.status(container)

    def pid(self, container: str) -> int:
        """The pid of the container's init, or of the sandbox's, on the host."""
        state = self.base / "state/io.containerd.runtime.v2.task/k8s.io" / container / "init.pid"
        return int(state.read_text())

    def log(self, container: str) -> list[LogLine]:
        """The lines of its log file so far."""
        path = Path(self.status(container)["log_path"])
        return [LogLine(line) for line in path.read_text().splitlines()]

    def stop(self, container: str, timeout: int = 0) -> None:
        """StopContainer: its stop signal, KILL after `timeout` seconds."""
        self.client.call("StopContainer", {"container_id": container, "timeout": timeout})

    def remove_pod(self, pod: str) -> None:
        """Stop and remove a pod with its containers."""
        for method in ("StopPodSandbox", "RemovePodSandbox"):
            self.client.call(method, {"pod_sandbox_id": pod})

    def remove_all(self) -> None:
        """Remove every pod."""
        for pod in self.client.call("ListPodSandbox")["items"]:
            self.remove_pod(pod["id"])
        self._configs.clear()

    def close(self) -> None:
        """Remove the pods, end the daemon, remove the cgroup above them all."""
        try:
            self.remove_all()
            self.client.close()
        finally:
            self._daemon.stop()
        remove_empty_cgroups(self.base.name)


class LogLine:
    """A line of a log file: time, stream, F (full) or P (partial), text; a partial one has no newline of its own."""

    def __init__(self, line: str) -> None:
        self.time, self.stream, self.tag, text = line.split(" ", 3)
        self.text = text + ("\n" if self.tag == "F" else "")


__all__ = ["CriError", "Fields", "LogLine", "Pods"]
