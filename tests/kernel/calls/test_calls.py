"""Kernel calls by hand: what they answer, and what an error says."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocirun.kernel import mount, process, raw, signals, userns

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not this lane: needs root")


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_start_time_of_a_live_process() -> None:
    mine = process.start_time(os.getpid())
    assert mine == int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    assert mine > 0
    assert process.start_time(1) <= mine


def test_start_time_with_a_name_that_looks_like_fields(tmp_path: Path) -> None:
    program = tmp_path / "x) Z 1 (y"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as child:
        deadline = time.monotonic() + 10
        while "Z 1" not in Path(f"/proc/{child.pid}/comm").read_text():
            assert time.monotonic() < deadline
            os.sched_yield()
        assert process.start_time(child.pid) >= process.start_time(os.getpid())
        child.kill()


def test_a_zombie_is_gone() -> None:
    child = subprocess.Popen(["/bin/true"])
    deadline = time.monotonic() + 10
    while state_of(child.pid) != "Z":
        assert time.monotonic() < deadline
        os.sched_yield()
    assert process.start_time(child.pid) == 0
    child.wait()


def test_an_absent_process_is_gone() -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    assert process.start_time(child.pid) == 0
    assert process.start_time(1 << 30) == 0


def test_signals_by_pidfd() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        pidfd = process.pidfd_open(child.pid)
        assert not os.get_inheritable(pidfd)
        process.pidfd_send_signal(pidfd, 0)
        process.pidfd_send_signal(pidfd, signals.SIGKILL)
        assert child.wait(10) == -signal.SIGKILL
        with pytest.raises(raw.KernelError) as caught:
            process.pidfd_send_signal(pidfd, 0)
        os.close(pidfd)
    assert (caught.value.errno, caught.value.call) == (errno.ESRCH, "pidfd_send_signal")


def test_a_pidfd_of_nobody() -> None:
    with pytest.raises(raw.KernelError) as caught:
        process.pidfd_open(1 << 22 | 1)
    assert (caught.value.call, caught.value.detail) == ("pidfd_open", str(1 << 22 | 1))


def test_signal_numbers_are_the_kernels() -> None:
    for name in ("SIGKILL", "SIGPIPE", "SIGTERM", "SIGCHLD", "SIGURG", "SIGWINCH"):
        assert getattr(signals, name) == getattr(signal, name)


def test_capabilities_are_those_of_proc() -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    status = {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}
    assert [f"{mask:016x}" for mask in process.capget()] == [status[f"Cap{kind}"] for kind in ("Eff", "Prm", "Inh")]


def test_prctl_names_its_option() -> None:
    with pytest.raises(raw.KernelError) as caught:
        process.prctl(process.PR_CAPBSET_READ, 1 << 20, name="PR_CAPBSET_READ")
    assert (caught.value.call, caught.value.detail, caught.value.errno) == (
        "prctl",
        "PR_CAPBSET_READ",
        errno.EINVAL,
    )


def test_limits_of_another_process() -> None:
    import resource

    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        process.prlimit(child.pid, resource.RLIMIT_CORE, 0, 4096)
        assert resource.prlimit(child.pid, resource.RLIMIT_CORE) == (0, 4096)
        child.kill()


def test_type_of_a_namespace() -> None:
    fd = os.open("/proc/self/ns/uts", os.O_RDONLY)
    assert process.namespace_type(fd) == process.CLONE_NEWUTS
    os.close(fd)


def test_text_of_a_map() -> None:
    mapping = {"containerID": 0, "hostID": 100000, "size": 65536}
    assert userns.lines([mapping, {"containerID": 5, "hostID": 6, "size": 1}]) == b"0 100000 65536\n5 6 1\n"
    assert userns.lines([]) == b""


@needs_root
def test_a_user_namespace_to_point_at() -> None:
    fd = userns.mapped_namespace(*[[{"containerID": 0, "hostID": 100000, "size": 10}]] * 2)
    assert process.namespace_type(fd) == process.CLONE_NEWUSER
    os.close(fd)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@needs_root
def test_fsconfig_says_what_the_kernel_said() -> None:
    context = mount.fsopen(b"tmpfs")
    with pytest.raises(raw.KernelError) as caught:
        mount.fsconfig_string(context, b"size", b"many")
    assert (caught.value.call, caught.value.errno) == ("fsconfig", errno.EINVAL)
    assert caught.value.detail.startswith("size=many; ")
    assert "Bad value for 'size'" in caught.value.detail
    assert not caught.value.detail.endswith("\n")
    with pytest.raises(raw.KernelError) as caught:
        mount.fsconfig_flag(context, b"frobnicate")
    os.close(context)
    assert caught.value.detail == "frobnicate; tmpfs: Unknown parameter 'frobnicate'"


@needs_root
def test_an_unknown_filesystem_is_named() -> None:
    with pytest.raises(raw.KernelError) as caught:
        mount.fsopen(b"nofs")
    assert (caught.value.call, caught.value.detail, caught.value.errno) == ("fsopen", "nofs", errno.ENODEV)


@needs_root
def test_a_filesystem_that_nobody_sees() -> None:
    """Made, filled, made read-only and forgotten, without ever being in a mount namespace's table."""
    context = mount.fsopen(b"tmpfs")
    mount.fsconfig_string(context, b"mode", b"711")
    mount.fsconfig_create(context)
    fd = mount.fsmount(context, mount.MOUNT_ATTR_NOSUID)
    os.close(context)
    assert os.fstat(fd).st_mode & 0o7777 == 0o711
    os.mkdir("x", dir_fd=fd)
    clone = mount.copy(fd, True)
    mount.mount_setattr(clone, mount.AT_RECURSIVE, mount.MOUNT_ATTR_RDONLY)
    os.mkdir("y", dir_fd=fd)
    with pytest.raises(OSError, match=r"Read-only file system"):
        os.mkdir("z", dir_fd=clone)
    assert not any(os.get_inheritable(each) for each in (fd, clone))
    os.close(clone)
    os.close(fd)


@needs_root
def test_a_missing_source_is_named() -> None:
    with pytest.raises(raw.KernelError) as caught:
        mount.open_tree(mount.AT_FDCWD, b"/no/such", mount.OPEN_TREE_CLONE)
    assert (caught.value.call, caught.value.detail, caught.value.errno) == ("open_tree", "/no/such", errno.ENOENT)


def test_descriptors_from_a_number_on_close_on_exec() -> None:
    code = (
        "import os, sys; sys.path[:0] = sys.argv[1:]; from ocirun.kernel import process; "
        "[os.dup2(0, fd) for fd in range(3, 8)]; "
        "process.close_on_exec_from(5); "
        "print(*[fd for fd in range(3, 8) if os.get_inheritable(fd)])"
    )
    paths = [path for path in sys.path if path.endswith(("/runtime", "/spec"))]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.stdout == "3 4\n", done.stderr
