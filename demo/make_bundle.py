"""Makes the demonstration bundle and runs it: what a container of ocirun sees, on any Debian machine.

Usage: make_bundle.py OCIRUN FOLDER. Only the standard library; the root filesystem is Debian's busybox-static and
nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
MEBIBYTE = 1 << 20
MEMORY_LIMIT = 64 * MEBIBYTE
PIDS_LIMIT = 32
NAME = "ocirun-demo"

PROBE = "look"
SCRIPT = """\
#!/bin/sh
echo "process id: $$"
echo "user:       $(id)"
echo "hostname:   $(hostname)"
echo "network:    $(ls /sys/class/net | tr '\\n' ' ')"
echo
echo "processes it can see:"
ps -o pid,user,args
echo
echo "mounts:"
while read -r source target type options rest; do echo "  $target ($type, $options)"; done </proc/mounts
echo
echo "limits:"
grep -E 'open files|processes' /proc/self/limits
for file in memory/memory.limit_in_bytes memory.max pids/pids.max pids.max; do
    if [ -f /sys/fs/cgroup/$file ]; then echo "$file: $(cat /sys/fs/cgroup/$file)"; fi
done
grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status
echo
echo "writing to the root filesystem: $(touch /file 2>&1 || true)"
"""


def make_rootfs(rootfs: Path) -> None:
    """Fill the folder with busybox, a link for each of its applets, the probe, and the two files that name users."""
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, rootfs / "bin" / "busybox")
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in set(applets) - {"busybox"}:
        (rootfs / "bin" / applet).symlink_to("busybox")
    (rootfs / "bin" / PROBE).write_text(SCRIPT, encoding="utf-8")
    (rootfs / "bin" / PROBE).chmod(0o755)
    (rootfs / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (rootfs / "etc" / "group").write_text("root:x:0:\n")


def adapt(config: dict[str, Any]) -> None:
    """Change the default config: our probe, no terminal, limits to look at."""
    config["hostname"] = "demo"
    config["process"]["terminal"] = False
    config["process"]["args"] = [PROBE]
    config["linux"]["resources"] = config["linux"].get("resources", {}) | {
        "memory": {"limit": MEMORY_LIMIT},
        "pids": {"limit": PIDS_LIMIT},
    }
    mounts = config["mounts"]
    if not any(mount["destination"] == "/sys/fs/cgroup" for mount in mounts):
        options = ["nosuid", "noexec", "nodev", "relatime", "ro"]
        mounts.append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options})


def main(arguments: list[str]) -> int:
    """Make the bundle, run it, and give back the container's exit code."""
    program, bundle = Path(arguments[0]).resolve(), Path(arguments[1]).resolve()
    shutil.rmtree(bundle, ignore_errors=True)
    make_rootfs(bundle / "rootfs")
    subprocess.run([program, "spec"], cwd=bundle, check=True)
    path = bundle / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    adapt(config)
    path.write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")
    print(f"$ ocirun run --bundle {os.path.relpath(bundle)} {NAME}", flush=True)
    return subprocess.run([program, "run", "--bundle", bundle, NAME], check=False, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
