"""Several services below an init: what they leave is reaped, a signal ends them (docs/engines/system-containers.md).

The page's configuration, with other programs; tests/vm/system has systemd itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import with_args
from support.command import wait_for
from support.facility import find_program, need
from support.pages import system_container

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

SERVICE = "#!/bin/sh\n: > /shared/$1\nexec sleep 1000\n"
# A trap interrupts wait; all that is left is the kernel's to end.
SERVICES = """\
#!/bin/sh
trap ': > /shared/end; exit 7' TERM 37
service one & service two &
wait
"""
INITTAB = "::respawn:/bin/service one\n::respawn:/bin/service two\n::shutdown:/bin/touch /shared/end\n"
CATATONIT = ("/bin/catatonit", "--", "/bin/services")
BUSYBOX = ("/bin/init",)


def prepared(box: Box, *args: str) -> Config:
    """The page's configuration with this init and the services `one` and `two`."""
    need(facility.root, facility.busybox)
    config = with_args(box.with_shared(system_container()), *args)
    config["process"]["terminal"] = False
    config["linux"]["cgroupsPath"] = f"/{box.ident}"
    if args == BUSYBOX:
        for names in config["process"]["capabilities"].values():
            names.append("CAP_SYS_BOOT")
        (box.rootfs / "bin" / "init").symlink_to("busybox")
        (box.rootfs / "etc" / "inittab").write_text(INITTAB)
    else:
        shutil.copy(find_program("catatonit") or pytest.skip("catatonit is not installed"), box.rootfs / "bin")
    for name, text in (("service", SERVICE), ("services", SERVICES)):
        (box.rootfs / "bin" / name).write_text(text)
        (box.rootfs / "bin" / name).chmod(0o755)
    return config


def wait_for_services(box: Box) -> None:
    wait_for(lambda: {"one", "two"} <= set(os.listdir(box.shared)), what="the services")


@pytest.mark.parametrize("init", [CATATONIT, BUSYBOX, ("/bin/sleep", "1000")])
def test_orphans_are_reaped(box: Box, init: tuple[str, ...]) -> None:
    """By an init; what is none leaves them as zombies."""
    before = box.snapshot()
    box.create(prepared(box, *init)).ok()
    box.runtime.start(box.ident).ok()
    if init in (CATATONIT, BUSYBOX):
        wait_for_services(box)
        assert len(box.runtime.call("ps", box.ident).ok().out.splitlines()) > 3
    orphan = box.exec("sh -c 'true & echo $!'").ok().out.strip()
    state = f"sed -n 's/^State:.//p' /proc/{orphan}/status"
    if init in (CATATONIT, BUSYBOX):
        wait_for(lambda: not box.exec(state).out, what="the end of the orphan")
    else:
        wait_for(lambda: box.exec(state).out == "Z (zombie)\n", what="the zombie")
    box.runtime.kill_and_delete(box.ident)
    before.assert_unchanged()


@pytest.mark.parametrize(
    ("init", "words", "code"),
    [(CATATONIT, ("TERM",), 7), (CATATONIT, ("37",), 7), (CATATONIT, (), 7), (BUSYBOX, ("USR2",), 130)],
)
def test_a_clean_end(box: Box, init: tuple[str, ...], words: tuple[str, ...], code: int) -> None:
    """Without a signal it is the annotation's, SIGRTMIN+3."""
    box.write(prepared(box, *init))
    before = box.snapshot()
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "-b", str(box.bundle), box.ident]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for_services(box)
            box.runtime.call("kill", box.ident, *words).ok()
            assert process.wait(20) == code
        finally:
            process.kill()
    assert (box.shared / "end").exists()
    assert box.runtime.list() == []
    before.assert_unchanged()
