"""Where a filesystem may not answer, a child looks into it, so that the runtime can be ended while it waits.

The kernel lets nobody end who waits for a FUSE server that has read the question, and of the others only who is killed
(fuse_dev_queue, request_wait_answer). A runtime that waits for a child ends like any program, and undoes on SIGINT. The
child dies with it, or when the server answers or ends. It holds nothing of the runtime's: no lock, no standard stream.
"""

from __future__ import annotations

import os
import select

from ocirun import init, sync
from ocirun.errors import Failure
from ocirun.kernel import process as kernel
from ocirun.kernel import raw, signals
from ocirun.linux import mounts, rootfs
from ocirun.sync import Channel, Gone, StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, NoReturn

    from ocirun.parent import Host
    from ocirun.steps import OutsideStep

    Deed = tuple[OutsideStep, Callable[[OutsideStep, Host], None]]

_LOOKING: Final = (rootfs.open_root, mounts.copy_source)
_EXIT_MILLISECONDS: Final = 1000
_SIGINFO_SIZE: Final = 128


def gather(outside: list[OutsideStep]) -> None:
    """One child for all steps that look into the host's filesystems, when the first of them is due."""
    deeds: list[Deed] = [(step, step.do) for step in outside if step.do in _LOOKING]

    for number, (step, do) in enumerate(deeds):
        step.do = _in_its_name(do, [] if number else deeds)


def _in_its_name(do: Callable[[OutsideStep, Host], None], deeds: list[Deed]) -> Callable[[OutsideStep, Host], None]:
    """What takes the place of a deed, under its name for who traces it: all of them, or nothing any more."""

    def done(_step: OutsideStep, host: Host) -> None:
        if deeds:
            _ask(deeds, host)

    done.__name__, done.__module__ = do.__name__, do.__module__
    return done


def _ask(deeds: list[Deed], host: Host) -> None:
    """Have the deeds done by a child, and take the descriptors over."""
    wanted = ((1 << signals.SIGINT - 1) | (1 << signals.SIGTERM - 1)).to_bytes(8, "little")
    told = raw.call("signalfd4", raw.SIGNALFD4, -1, wanted, len(wanted), os.O_CLOEXEC)
    ours, theirs = Channel.pair()
    pid, pidfd = raw.clone3(0, signals.SIGCHLD)
    if pid == 0:
        _look(deeds, theirs, host)
    theirs.close()
    raw.checked("clone3", pid)
    try:
        for step, _do in deeds:
            _heed(step, ours.socket.fileno(), told)
            step.fd = ours.expect(sync.LOOKED)[1]
    except StepFailed as problem:
        failed = deeds[problem.step][0]
        raise problem.failure(failed.text, failed.pointer) from None
    except Gone:
        raise Failure(f"{step.text}: the process that does it is gone", where=step.pointer) from None
    finally:
        ours.close()
        os.close(told)
        _end(pid, pidfd)


def _heed(step: OutsideStep, link: int, told: int) -> None:
    """Wait for the child, unless we are to end: a foreground `run` has its signals blocked, and reads them later."""
    poll = select.poll()
    poll.register(link, select.POLLIN)
    poll.register(told, select.POLLIN)
    if link in dict(poll.poll()):
        return
    if int.from_bytes(os.read(told, _SIGINFO_SIZE)[:4], "little") == signals.SIGINT:
        raise KeyboardInterrupt
    raise Failure(f"{step.text}: told to end by SIGTERM", where=step.pointer)


def _look(deeds: list[Deed], channel: Channel, host: Host) -> NoReturn:
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signals.SIGKILL, name="PR_SET_PDEATHSIG")
        only = channel.socket.fileno()
        kernel.close_range(0, only - 1)
        kernel.close_range(only + 1, kernel.UINT_MAX)
        for number, (step, do) in enumerate(deeds):
            try:
                do(step, host)
            except BaseException as problem:  # noqa: BLE001 (the parent must hear of it, and there is nobody else)
                init.tell(channel, number, problem)
                break
            channel.send(sync.LOOKED, b"", step.fd)
            os.close(step.fd)
    finally:
        os._exit(0)


def _end(pid: int, pidfd: int) -> None:
    """Reap it, unless it cannot even be killed."""
    kernel.pidfd_send_signal(pidfd, signals.SIGKILL)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if poll.poll(_EXIT_MILLISECONDS):
        os.waitpid(pid, 0)
    os.close(pidfd)
