"""linux.resources.blockIO: the controller blkio of cgroup v1, io of cgroup v2.

See the kernel's Documentation/admin-guide/cgroup-v1/blkio-controller.rst, cgroup-v2.rst and block/bfq-iosched.rst.
Weights are those of the BFQ scheduler or, on older kernels, of CFQ (v1), and of the cost model (io.weight, v2). One
write says one thing about one device.
"""

from __future__ import annotations

from ocirun.linux.cgroup.limits import Setting, no_v2_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    BlockIO = dict[str, Any]

_THROTTLES: Final = (
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
)


def v1(block_io: BlockIO) -> list[Setting]:
    """leafWeight is CFQ's, which Linux 5.0 has dropped: there the file is missing, which is said."""
    settings = []
    if weight := block_io.get("weight"):
        bfq = ("blkio.bfq.weight", str(weight))
        settings.append(Setting("blkio", "blkio.weight", weight, "blockIO/weight", bfq))
    if leaf := block_io.get("leafWeight"):
        settings.append(Setting("blkio", "blkio.leaf_weight", leaf, "blockIO/leafWeight"))
    for pointer, device, entry in _entries(block_io, "weightDevice"):
        if weight := entry.get("weight"):
            value = f"{device} {weight}"
            bfq = ("blkio.bfq.weight_device", value)
            settings.append(Setting("blkio", "blkio.weight_device", value, f"{pointer}/weight", bfq))
        if leaf := entry.get("leafWeight"):
            file = "blkio.leaf_weight_device"
            settings.append(Setting("blkio", file, f"{device} {leaf}", f"{pointer}/leafWeight"))
    for name, file, _key in _THROTTLES:
        for pointer, device, entry in _entries(block_io, name):
            settings.append(Setting("blkio", file, f"{device} {entry['rate']}", f"{pointer}/rate"))
    return settings


def v2(block_io: BlockIO) -> list[Setting]:
    """A rate of 0 lifts the limit on v1, so it is `max` here, where the kernel refuses a 0."""
    if block_io.get("leafWeight"):
        raise _no_leaf("blockIO/leafWeight")
    settings = []
    if weight := block_io.get("weight"):
        cost = ("io.weight", str(io_weight(weight)))
        settings.append(Setting("io", "io.bfq.weight", weight, "blockIO/weight", cost))
    for pointer, device, entry in _entries(block_io, "weightDevice"):
        if entry.get("leafWeight"):
            raise _no_leaf(f"{pointer}/leafWeight")
        if weight := entry.get("weight"):
            cost = ("io.weight", f"{device} {io_weight(weight)}")
            settings.append(Setting("io", "io.bfq.weight", f"{device} {weight}", f"{pointer}/weight", cost))
    for name, _file, key in _THROTTLES:
        for pointer, device, entry in _entries(block_io, name):
            settings.append(Setting("io", "io.max", f"{device} {key}={entry['rate'] or 'max'}", f"{pointer}/rate"))
    return settings


def _entries(block_io: BlockIO, name: str) -> list[tuple[str, str, BlockIO]]:
    """(pointer, ``major:minor``, entry) of a list about devices."""
    listed: list[BlockIO] = block_io.get(name) or []
    return [(f"blockIO/{name}/{at}", f"{each['major']}:{each['minor']}", each) for at, each in enumerate(listed)]


def _no_leaf(pointer: str) -> Exception:
    return no_v2_file(pointer, "there are no weights against the cgroup's own children")


def io_weight(weight: int) -> int:
    """blkio.weight (10 to 1000) as io.weight (1 to 10000), linearly: 1 + (w - 10) * 9999 / 990, as runc and crun do.

    io.bfq.weight has the range 1 to 1000 and takes the number as it is.
    """
    return 1 + (weight - 10) * 9999 // 990
