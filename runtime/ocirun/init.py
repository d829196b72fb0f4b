"""The container's first process, from the clone to execve(2) of the program.

It is the parent's copy: all modules are there, all strings are encoded, all host paths are resolved. It does the plan's
steps in order and makes kernel calls only. It knows no words: a failing step goes through the channel as numbers.

    wait for GO · the `inside` steps · READY · wait for START, or for `start` · the `launch` steps · execve

SECURITY: it is not dumpable from the first moment on, so that nothing in the container can look into it
(/proc/PID/exe, mem, fd), and the import system is closed before the image's files can be reached.
"""

from __future__ import annotations

import _socket
import os

from ocirun import sync
from ocirun.errors import Failure
from ocirun.kernel import files, raw, signals
from ocirun.kernel import process as kernel
from ocirun.sync import Channel, Gone, StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

    from ocirun.plan import Plan
    from ocirun.scene import Scene
    from ocirun.steps import InsideStep

_BEFORE_FIRST: Final = -1
_EXIT: Final = 1


def main(plan: Plan, scene: Scene) -> NoReturn:
    """Never returns, never raises, never prints: the parent says what went wrong."""
    try:
        _main(plan, scene)
        os._exit(_EXIT)  # the last step executes the program
    except BaseException as problem:  # noqa: BLE001 (the parent must hear of it, and there is nobody else)
        fail(scene, problem)


def fail(scene: Scene, problem: BaseException) -> NoReturn:
    """The end of a child that did not come as far as its program, nor into a step that can be named."""
    try:
        if not isinstance(problem, (Gone, SystemExit)):
            tell(scene.channel, _BEFORE_FIRST, problem)
    finally:
        os._exit(_EXIT)


def _main(plan: Plan, scene: Scene) -> None:
    # A runtime that is killed must not leave a half-made container behind; the kernel forgets this when the credentials
    # change, and then end-of-file on the channel says the same.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signals.SIGKILL, name="PR_SET_PDEATHSIG")
    scene.channel.expect(sync.GO)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0, name="PR_SET_DUMPABLE")  # SECURITY: after the parent wrote the id maps
    _do(plan.inside, scene, 0)
    # Before READY: `create` ends as soon as it has said WAIT. From here on end-of-file tells of its death.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 0, name="PR_SET_PDEATHSIG")
    scene.channel.send(sync.READY)
    kind, _payload, _fd = scene.channel.receive()
    if kind == sync.WAIT:
        _wait_for_start(scene)
    _do(plan.launch, scene, len(plan.inside))


def _do(steps: list[InsideStep], scene: Scene, first: int) -> None:
    """Do the steps; the one that fails is told by its number."""
    for number, step in enumerate(steps, first):
        try:
            try:
                step.do(step, scene)
            finally:
                if files.made:
                    _tell_made(scene)
        except Gone:
            raise
        except BaseException as problem:  # noqa: BLE001 (as above)
            tell(scene.channel, number, problem)
            raise SystemExit from None


def _tell_made(scene: Scene) -> None:
    """MADE, once for each: what the parent takes back if this comes to nothing."""
    while files.made:
        scene.channel.send(sync.MADE, files.made.pop(0))


def tell(channel: Channel, number: int, problem: BaseException) -> None:
    """FAILED. An exception that no kernel call raised is a defect of ours: its type goes along as the call's name."""
    if not isinstance(problem, OSError):
        doing = getattr(problem, "doing", "") or "".join(str(argument) for argument in problem.args[:1])
        problem = raw.KernelError(0, type(problem).__name__ if not hasattr(problem, "doing") else "", doing)
    try:
        channel.send_failure(number, problem)
    except Gone:
        pass


def _wait_for_start(scene: Scene) -> None:
    """Accept connections until one says START; `state` connects only to see whether we are still here.

    Who says anything else is not listened to: the container must not end by it.
    """
    scene.channel.close()
    while True:
        fd = raw.call("accept4", raw.ACCEPT4, scene.waiting, None, None, _socket.SOCK_CLOEXEC)
        link = Channel(_socket.socket(fileno=fd))
        try:
            link.expect(sync.START)
        except (Gone, StepFailed, Failure):
            link.close()
            continue
        scene.channel = link
        return
