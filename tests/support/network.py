"""Network interfaces and namespaces for tests: veth pairs by iproute2, namespaces that a process of ours holds.

Rules: names of interfaces are unique to the process that runs the tests; what was made is removed, wherever it went.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command import wait_for
from .facility import _tried, find_program, root

if TYPE_CHECKING:
    from collections.abc import Sequence


@functools.cache
def veth() -> str:
    """iproute2 is there and can make a pair of veth interfaces in a namespace of its own."""
    return root() or _tried("unshare", "--net", find_program("ip") or "ip", "link", "add", "va", "type", "veth")


def ip(*words: str, pid: int = 0) -> str:
    """Output of ip(8), in the network namespace of the process `pid` if one is given; it has to succeed."""
    argv = [find_program("ip") or "ip", *words]
    if pid:
        argv = [find_program("nsenter") or "nsenter", f"--net=/proc/{pid}/ns/net", *argv]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout


def interfaces(pid: int = 0) -> dict[str, dict[str, Any]]:
    """What `ip -json address` says, by name."""
    return {entry["ifname"]: entry for entry in json.loads(ip("-json", "address", pid=pid)) if entry}


def addresses(entry: dict[str, Any]) -> list[str]:
    """``ADDRESS/PREFIX`` of an interface's global addresses, in the kernel's order."""
    return [f"{one['local']}/{one['prefixlen']}" for one in entry["addr_info"] if one["scope"] == "global"]


class Pair:
    """A veth pair: `name` is the end that moves, `peer` stays on the host and takes the pair along when it goes."""

    def __init__(self, word: str, given: Sequence[str] = ()) -> None:
        self.name = f"{word}{os.getpid():x}"
        self.peer = f"{word}{os.getpid():x}p"
        ip("link", "add", self.name, "type", "veth", "peer", "name", self.peer)
        ip("link", "set", self.peer, "up")
        for one in given:
            ip("address", "add", *one.split(), "dev", self.name)

    def here(self) -> dict[str, Any] | None:
        """The moving end as the host sees it, None when it is elsewhere."""
        return interfaces().get(self.name)

    def remove(self) -> None:
        """The pair goes, in whatever namespace the other end is."""
        subprocess.run([find_program("ip") or "ip", "link", "delete", self.peer], capture_output=True, check=False)


class Space:
    """A namespace, held by a process of ours: of the network, or another `kind` as in /proc/PID/ns."""

    def __init__(self, kind: str = "net") -> None:
        option = {"net": "--net", "mnt": "--mount"}[kind]
        argv = [find_program("unshare") or "unshare", option, "sleep", "1000"]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        self.pid = self._process.pid
        self.path = f"/proc/{self.pid}/ns/{kind}"
        own = os.stat(f"/proc/self/ns/{kind}").st_ino
        wait_for(lambda: os.stat(self.path).st_ino != own, what="the namespace")
        wait_for(lambda: Path(f"/proc/{self.pid}/comm").read_text() == "sleep\n", what="its process")

    def close(self) -> None:
        """End the process; the namespace goes with the last one that holds it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
