"""What has passed through a container's network interfaces: /proc/PID/net/dev of its first process (proc_pid_net(5)).

All interfaces but ``lo``: what passes there stays in the container, and a sum over the list should be its traffic. A
container in the runtime's own network namespace has no interfaces of its own: those are the host's, and none are given.
runc has this list in its document, and fills it for no container that its command line can make.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_COLUMNS: Final = (
    ("RxBytes", 0),
    ("RxPackets", 1),
    ("RxErrors", 2),
    ("RxDropped", 3),
    ("TxBytes", 8),
    ("TxPackets", 9),
    ("TxErrors", 10),
    ("TxDropped", 11),
)
_COUNT: Final = 16


def statistics(pid: int) -> list[dict[str, Any]]:
    """For `events`: runc's `network_interfaces`; none when the process is gone or cannot be looked at.

    The caller has to look afterwards whether `pid` still is the process that it means.
    """
    try:
        if os.path.samestat(os.stat(f"/proc/{pid}/ns/net"), os.stat("/proc/self/ns/net")):
            return []
        fd = os.open(f"/proc/{pid}/net/dev", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
    except OSError:
        return []
    finally:
        os.close(fd)
    return parse(b"".join(parts))


def parse(content: bytes) -> list[dict[str, Any]]:
    """Two lines of heading, then ``NAME: `` and 16 numbers a line: eight received, eight sent."""
    found = []
    for line in content.splitlines()[2:]:
        name, _, rest = line.partition(b":")
        numbers = rest.split()
        if name.strip() != b"lo" and len(numbers) >= _COUNT:
            columns = {key: int(numbers[at]) for key, at in _COLUMNS}
            found.append({"Name": name.strip().decode("utf-8", "replace"), **columns})
    return found
