"""linux.resources.rdma: the controller rdma, with the same file in both versions (admin-guide/cgroup-v1/rdma.rst)."""

from __future__ import annotations

from ocirun.linux.cgroup.limits import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def both(devices: dict[str, Any]) -> list[Setting]:
    """A line a device: ``mlx4_0 hca_handle=2 hca_object=2000``."""
    settings = []
    for name, entry in devices.items():
        limits = [
            f"{key}={entry[member]}"
            for member, key in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object"))
            if entry.get(member) is not None
        ]
        key = name.replace("~", "~0").replace("/", "~1")
        settings.append(Setting("rdma", "rdma.max", " ".join((name, *limits)), f"rdma/{key}"))
    return settings
