"""linux.resources.network: the controllers net_cls and net_prio, which cgroup v2 does not have."""

from __future__ import annotations

from ocirun.linux.cgroup.limits import Setting, no_v2_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Network = dict[str, Any]


def v1(network: Network) -> list[Setting]:
    """net_cls.classid and one line a network interface in net_prio.ifpriomap."""
    settings = []
    if network.get("classID"):
        settings.append(Setting("net_cls", "net_cls.classid", network["classID"], "network/classID"))
    for at, entry in enumerate(network.get("priorities") or ()):
        value = f"{entry['name']} {entry['priority']}"
        settings.append(Setting("net_prio", "net_prio.ifpriomap", value, f"network/priorities/{at}"))
    return settings


def v2(network: Network) -> list[Setting]:
    """Zeros ask for what is so anyway."""
    if network.get("classID"):
        raise no_v2_file("network/classID", "there is no controller net_cls")
    for at, entry in enumerate(network.get("priorities") or ()):
        if entry["priority"]:
            raise no_v2_file(f"network/priorities/{at}", "there is no controller net_prio")
    return []
