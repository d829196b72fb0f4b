"""The library of a plain user, from a folder like that of an installed wheel."""

from __future__ import annotations

import os
import subprocess

import pytest
from process.plain import PLAIN, as_plain_user, plain_user_namespace, reachable
from support import facility
from support.facility import need
from support.host import HostSnapshot
from support.runtime import runtime_path

pytestmark = [pytest.mark.process, pytest.mark.privileged]

SCRIPT = """
import asyncio, os, sys
import ocirun

root = sys.argv[1]
with ocirun.Runtime(root) as runtime:
    with runtime.sandbox(["sh", "-c", "id -u; cat; echo ready; exec sleep 1000"]) as box:
        process = box.popen(stdout=-1)
        print(process.stdout.readline().decode().strip())
        while process.stdout.readline() != b"ready\\n":
            pass
        container = runtime.get(process.id)
        print(container.state().status, [each.status for each in runtime.list()])
        container.kill("KILL")
        print(process.wait())
        process.stdout.close()
    print(asyncio.run(runtime.sandbox(["cat"]).run_async(b"text")).out)
print(sorted(each for each in os.listdir(root) if each != "@cache"))
"""


@pytest.mark.parametrize("way", ["launcher", "interpreter"])
def test_a_sandbox(way: str) -> None:
    need(facility.root, plain_user_namespace)
    with reachable(runtime_path()) as program:
        folder = program.parent.parent
        os.chown(folder, PLAIN, PLAIN)
        packages = folder / "lib" / "ocirun"
        if way == "interpreter":
            (folder / "bin" / "ocirun").unlink()
            for each in (packages / "site-packages").iterdir():
                each.rename(packages / each.name)
        before = HostSnapshot.take(scope=[str(folder)])
        done = subprocess.run(
            as_plain_user("/usr/bin/python3", "-c", SCRIPT, str(folder / "root")),
            env={"PATH": f"{folder}/bin:/usr/bin:/bin", "PYTHONPATH": str(packages)},
            capture_output=True, text=True, timeout=60, check=False, cwd=folder, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.stdout.splitlines() == [str(PLAIN), "running ['running']", "137", "text", "[]"], done.stderr
        before.assert_unchanged()
