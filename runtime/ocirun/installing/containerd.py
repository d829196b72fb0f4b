"""containerd: a runtime of the CRI plugin in config.toml, versions 2 and 3.

Not in a file of its own that `imports` names: containerd 1 replaces a plugin's whole table by that of an imported file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ocirun import log
from ocirun.errors import Failure
from ocirun.facts import Facts
from ocirun.installing import Engine, Wish, lookup, of_user, tables, taken
from ocirun.linux.cgroup.hierarchy import UNIFIED

if TYPE_CHECKING:
    from ocirun.installing.tables import Table

_PLUGINS = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}
_TYPE = "io.containerd.runc.v2"
_USUAL = "runc"
_BOOTED = "/run/systemd/system"


class Containerd(Engine):
    """The table's name is the handler of a RuntimeClass."""

    program = "containerd"
    reload = "systemctl restart containerd"

    def place(self, _name: str) -> str:
        """Of the daemon, or of containerd-rootless.sh."""
        return "/etc/containerd/config.toml" if os.geteuid() == 0 else of_user("containerd", "config.toml")

    def check(self, text: str, path: str) -> None:
        """As TOML."""
        tables.parse(text, path)

    def add(self, text: str, wish: Wish, path: str) -> str:
        """The runtime's tables; runc's too, which containerd forgets as soon as the file names a runtime."""
        document = tables.parse(text, path)
        if not document:
            text = f"version = 2\n{text}"
        version = document.get("version", 1) if document else 2
        plugin = _PLUGINS.get(version) if isinstance(version, int) else None
        if plugin is None:
            hint = "versions 2 and 3 are known; `containerd config migrate` of containerd 2 prints the file anew"
            raise Failure(f"the file has version {version} of containerd's format", where=path, hint=hint)
        disabled = document.get("disabled_plugins")
        if isinstance(disabled, list) and (plugin in disabled or "cri" in disabled):
            log.warning(f"{path}: disabled_plugins has the CRI plugin, which is the one that reads this")
        place = ("plugins", plugin, "containerd")
        runtimes = lookup(document, *place, "runtimes")
        runtimes = runtimes if isinstance(runtimes, dict) else {}
        if wish.name in runtimes:
            raise taken(wish.name, path)
        if not runtimes and wish.name != _USUAL:
            text = tables.add(text, _USUAL, [((*place, "runtimes", _USUAL), {"runtime_type": _TYPE})], path)
        wanted: list[Table] = [(place, {"default_runtime_name": wish.name})] if wish.default else []
        wanted.append(((*place, "runtimes", wish.name), {"runtime_type": _TYPE}))
        systemd = lookup(runtimes, _USUAL, "options", "SystemdCgroup") if wish.systemd is None else wish.systemd
        options = {"BinaryName": wish.path, "SystemdCgroup": systemd if isinstance(systemd, bool) else _by_systemd()}
        wanted.append(((*place, "runtimes", wish.name, "options"), options))
        return tables.add(text, wish.name, wanted, path)

    def strip(self, text: str, name: str, _before: str | None, _after: str | None) -> str:
        """By the marks. runc's table stays while it stands beside others."""
        text = tables.strip(text, name)
        without = tables.strip(text, _USUAL)
        return text if _runtimes(without) else without

    def default(self, text: str) -> object:
        """The CRI plugin refuses to start with one that is not there."""
        document = tables.parse(text, "")
        names = (lookup(document, "plugins", each, "containerd", "default_runtime_name") for each in _PLUGINS.values())
        return next((name for name in names if name), None)

    def attempt(self, wish: Wish) -> str:
        """crictl(1) names the handler."""
        choice = "" if wish.default else f" --runtime {wish.name}"
        return f"crictl runp{choice} pod.json"


def _runtimes(text: str) -> bool:
    document = tables.parse(text, "")
    return any(lookup(document, "plugins", each, "containerd", "runtimes") for each in _PLUGINS.values())


def _by_systemd() -> bool:
    """Whether systemd manages cgroups here, by the rule of Docker and kubeadm: cgroup v2 alone and systemd booted."""
    return os.path.isdir(_BOOTED) and Facts().cgroups.mode == UNIFIED
