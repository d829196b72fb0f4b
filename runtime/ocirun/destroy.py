"""Undoing a container: the same for a failed `create`, for `delete`, and for the end of a foreground `run`.

Every part is idempotent and goes on after an error; what could not be undone is collected and said at the end.
"""

from __future__ import annotations

import os
import select
import time

from ocirun import log, state
from ocirun.errors import Failure, doing
from ocirun.kernel import process as kernel
from ocirun.kernel import raw, signals
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ocirun.parent import Host
    from ocirun.state import Entry

_EXIT_SECONDS: Final = 10


def undo(host: Host, run_poststop: bool) -> None:
    """After a failed `create`: all that was made goes; problems are warnings, since the failure is what counts.

    Where a process stays nothing can go: the record is left then, for `delete --force`.
    """
    signals.hold_interrupt()
    host.failed = time.time_ns()
    if not end_child(host):
        return
    _close_all(host)
    for problem in release(host.entry, host):
        log.warning(problem)
    if host.made:
        from ocirun import mountpoints

        mountpoints.remove(host.record["rootfs"], host.made)
    host.entry.remove()
    if run_poststop:
        poststop(host.entry)


def _close_all(host: Host) -> None:
    """Close what the steps have opened: undoing needs descriptors, and the failure may be that there are none."""
    from ocirun.linux import cgroup

    cgroup.close_all(host.plan.outside, host)
    for fd in (host.cgroup_fd, host.proc, *(step.fd for step in host.plan.outside)):
        if fd >= 0:
            try:
                os.close(fd)
            except OSError:
                continue


def end_child(host: Host) -> bool:
    """Kill and reap what was cloned; it may be gone already. False, with a warning, when nobody can end it."""
    if not host.pid:
        return True
    try:
        if host.pidfd < 0:
            os.kill(host.pid, signals.SIGKILL)  # our child: the number is its own until it is reaped
        else:
            kernel.pidfd_send_signal(host.pidfd, signals.SIGKILL)
    except OSError:
        pass
    if host.pidfd >= 0 and not _ends(host.pidfd):
        log.warning(_stays(host.pid))
        return False
    try:
        os.waitpid(host.pid, 0)
    except ChildProcessError:
        pass
    return True


def release(entry: Entry, host: Host | None = None) -> list[str]:
    """Kill what is left in the container's cgroups and remove them; returns what could not be done.

    host: that of a `create` that has failed; one that was killed is told by the recorded phase.
    """
    problems: list[str] = []
    record = entry.record
    failed = host is not None or record["phase"] == state.CREATING
    if record.get("cgroup"):
        from ocirun.linux import cgroup

        if not cgroup.remove_unused(record["cgroup"]):
            cgroup.kill_all(record["cgroup"], signals.SIGKILL)
        problems += cgroup.remove(record["cgroup"])
    if record.get("intelRdt"):
        from ocirun.linux import intelrdt

        problems += intelrdt.undo(record["intelRdt"], failed)  # when no process of the container is left in it
    if record.get("netDevices") and failed:  # a finished container's devices are the kernel's to give back
        from ocirun.linux import netdevices

        problems += netdevices.undo(record["netDevices"], netdevices.held(host.plan.adopt) if host else -1)
    return problems


def poststop(entry: Entry) -> None:
    """The poststop hooks: a failing one is a warning and the next still runs (runtime.md, step 13)."""
    configured = (entry.record.get("hooks") or {}).get("poststop") or []
    if not configured:
        return
    from ocirun import hooks

    document = jsontext.dumps(entry.oci(state.STOPPED)).encode("utf-8", "surrogateescape")
    try:
        logs = hooks.open_logs(entry.record)
    except Failure as problem:
        log.warning(str(problem))
        logs = hooks.NO_LOGS
    for at, hook in enumerate(configured):
        try:
            hooks.run_one(hook, f"/hooks/poststop/{at}", document, logs)
        except (Failure, OSError) as problem:
            log.warning(str(problem))
    hooks.close_logs(logs)


@doing("kill the container's process")
def kill_and_wait(entry: Entry) -> None:
    """SIGKILL the container's process and wait for its end by pidfd; nothing to do when it is gone."""
    if not entry.alive():
        return
    pid = entry.record["pid"]
    try:
        pidfd = kernel.pidfd_open(pid)
    except raw.KernelError:
        return
    try:
        if not entry.alive():
            return
        kernel.pidfd_send_signal(pidfd, signals.SIGKILL)
        _thaw(entry)
        if not _ends(pidfd):
            raise Failure(_stays(pid))
    finally:
        os.close(pidfd)


def _ends(pidfd: int) -> bool:
    """Wait for the end of a process that was killed, as long as that may take."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(_EXIT_SECONDS * 1000))


def _stays(pid: int) -> str:
    return f"process {pid} does not exit: it was killed {_EXIT_SECONDS} s ago"


def _thaw(entry: Entry) -> None:
    """A frozen process of a v1 hierarchy does not even die before it is thawed."""
    if entry.record.get("cgroup"):
        from ocirun.linux import cgroup

        if cgroup.is_frozen(entry.record["cgroup"]):
            cgroup.thaw(entry.record["cgroup"])


@doing("delete the container")
def delete(entry: Entry) -> None:
    """Delete a stopped container: its cgroups, its folder, then the poststop hooks. The lock is held."""
    problems = release(entry)
    if problems:
        raise Failure("; ".join(problems))
    entry.remove()
    poststop(entry)
