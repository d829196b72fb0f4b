"""`ctr` saves a container and restores it, on a kernel that Debian's CRIU knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.command import wait_for
from support.engines import Daemon

if TYPE_CHECKING:
    from support.engines import Containerd

pytestmark = pytest.mark.engines

POINT = "registry.invalid/point:one"
COUNTING = "i=0; while :; do i=$((i+1)); echo $i >/dev/shm/next; mv /dev/shm/next /dev/shm/n; sleep 0.2; done"


def counted(containerd: Containerd) -> int:
    """What the program has come to; 0 before its first number."""
    done = containerd.exec("counting", "cat", "/dev/shm/n")
    return int(done.out) if done.code == 0 else 0


def goes_on(containerd: Containerd) -> int:
    """Wait until the program counts; the number that it had then."""
    before = counted(containerd)
    wait_for(lambda: counted(containerd) > before, 30.0, "the next number")
    return before


def test_a_task_is_saved_and_restored(containerd: Containerd) -> None:
    """Into an image, with the task going on, and into a directory, with its end; then from the image under its name."""
    containerd.run(["--detach", "--null-io"], "counting", "sh", "-c", COUNTING).ok()
    goes_on(containerd)
    saved = counted(containerd)
    containerd.call("containers", "checkpoint", "--rw", "--image", "--task", "counting", POINT).ok()
    goes_on(containerd)
    images, work = containerd.base / "images", containerd.base / "work"
    options = ("--exit", "--image-path", str(images), "--work-path", str(work))
    containerd.call("tasks", "checkpoint", *options, "counting").ok()
    wait_for(lambda: containerd.task_status("counting") == "STOPPED", 30.0, "the end of the task")
    assert (images / "pstree.img").exists()
    assert (work / "dump.log").exists()
    containerd.call("tasks", "delete", "counting")
    assert containerd.task_status("counting") == ""
    containerd.call("containers", "delete", "counting").ok()
    argv = containerd.argv("containers", "restore", "--rw", "--live", "counting", POINT)
    restoring = Daemon(argv, containerd.base / "restoring")
    try:
        restoring.wait(lambda: containerd.task_status("counting") == "RUNNING")
        assert goes_on(containerd) >= saved
        containerd.call("tasks", "kill", "--signal", "SIGKILL", "counting").ok()
    finally:
        restoring.stop()
