"""`mounts`: a process enters a running container, and attaches there what the runtime has made, or takes mounts away.

    the runtime                                          the process in the container
    ───────────                                          ────────────────────────────
    copies the sources, with the host's rights
    clone                                             →  joins the namespaces, does the steps one by one
                                                      ←  READY; or FAILED, when it has undone its own
    keeps the container's configuration up to date
    CONTINUE                                          →  ends; on end-of-file instead it undoes its own

A plain user has rights over mounts only in the container's user namespace. There the process makes a copy of the host's
mount namespace first, copies the sources in that, and then goes on into the container's.

SECURITY: the process never enters the container's pid namespace, so that no process of the container can look into it:
it holds the host's procfs, which is the only way to unmount by descriptor. Whatever is named below the container's root
is resolved there, without magic links, while the container may change it: so the place of a mount is judged when the
mount is attached, by where it is, and not by its name before.
"""

from __future__ import annotations

import _socket
import os
import select

from ocirun import apart, guarded, init, join, mountpoints, parent, seal, sync
from ocirun.errors import Failure
from ocirun.kernel import files, mount, raw, signals
from ocirun.kernel import process as kernel
from ocirun.linux import idmap, lsm, mounts, rootfs
from ocirun.linux.cgroup import mounts as cgroup_mounts
from ocirun.linux.mounts.wish import Wish
from ocirun.parent import Host
from ocirun.plan import Plan
from ocirun.scene import Scene
from ocirun.steps import InsideStep, OutsideStep
from ocirun.sync import Channel, Gone, StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, NoReturn

    from ocirun.facts import Facts
    from ocirun.guarded import Guards
    from ocirun.state import Entry

    Mount = dict[str, Any]

_EINVAL: Final = 22
_END_MILLISECONDS: Final = 2000
_UNMASKED: Final = ("proc", "sysfs")


class Work:
    """What the runtime does before the clone, and what the process in the container does."""

    __slots__ = ("inside", "outside")

    def __init__(self, outside: list[OutsideStep], inside: list[InsideStep]) -> None:
        self.outside = outside
        self.inside = inside


def adding(entry: Entry, config: dict[str, Any], entries: list[Mount], facts: Facts, joining: join.Joining) -> Work:
    """The mounts of a configuration, in their order, by the steps of `create`."""
    guards = guarded.guards(config)
    for at, each in enumerate(entries):
        _check(each, guards, f"/mounts/{at}")
    copied, attached, views = mounts.plan(
        {"mounts": entries, "linux": config.get("linux")},
        entry.record["bundle"],
        True,
        rootfs.stays_shared(config),
        lambda record: cgroup_mounts.describe(facts, config, record),
        lsm.mount_label(config),
    )
    here = [] if facts.may_mount else copied
    steps = _into(config, joining, here)
    for step in attached:
        steps += [step, InsideStep(check_place, step.pointer, step.text, guards)]
    return Work([*([] if here else copied), *views], steps)


def _check(entry: Mount, guards: Guards, pointer: str) -> None:
    destination = files.clean(entry["destination"])
    if Wish(entry).remount:
        raise Failure(f"remount {destination}: it adds nothing", where=pointer)
    if entry.get("type") in _UNMASKED:
        what = f"mount {entry['type']} on {destination}: it would show what the container's own has masked"
        raise Failure(what, where=pointer, hint="a new container may have it: put it into config.json")
    why = guarded.refusal(destination, guards)
    if why:
        raise Failure(f"mount on {destination}: {why}", where=pointer)


def removing(config: dict[str, Any], entries: list[Mount], joining: join.Joining) -> Work:
    """All are found before the first is taken away."""
    guards = guarded.guards(config)
    found, taken = [], []
    for at, each in enumerate(entries):
        pointer, destination = f"/mounts/{at}", files.clean(each["destination"])
        text = f"unmount {destination}"
        why = guarded.refusal(destination, guards)
        if why:
            raise Failure(f"{text}: {why}", where=pointer)
        step = InsideStep(find, pointer, text, os.fsencode(destination), guards)
        found.append(step)
        taken.append(InsideStep(take_away, pointer, text, step))
    return Work([], [*_into(config, joining, []), *found, *taken])


def _into(config: dict[str, Any], joining: join.Joining, here: list[OutsideStep]) -> list[InsideStep]:
    """The way into the container; `here` is done on it, where the host's tree is still to be seen."""
    text = "join the container's namespaces"
    user = joining.flags & kernel.CLONE_NEWUSER
    rest = joining.flags & ~(kernel.CLONE_NEWPID | kernel.CLONE_NEWUSER)
    root = InsideStep(idmap.become_root, "", "become root of the user namespace", *idmap.owner(config))
    if not here:
        enter = [InsideStep(join.enter, "", text, joining, rest | user), *([root] if user else [])]
    else:
        enter = [
            *([InsideStep(join.enter, "", text, joining, user), root] if user else []),
            InsideStep(copy_tree, "", "copy the host's mount namespace"),
            *(InsideStep(do_here, each.pointer, each.text, each) for each in here),
            InsideStep(join.enter, "", text, joining, rest),
        ]
    return [*enter, InsideStep(stand_in_proc, "", "stand in the container's root")]


def copy_tree(_step: InsideStep, _scene: Scene) -> None:
    """In a mount namespace of the own user namespace, mounts may be copied."""
    kernel.unshare(kernel.CLONE_NEWNS)


def do_here(step: InsideStep, _scene: Scene) -> None:
    """A step of the runtime's that needs those rights; none of them looks at the host."""
    outside: Any = step.args[0]
    outside.do(outside, None)


def stand_in_proc(_step: InsideStep, scene: Scene) -> None:
    """Hold the root, where setns(2) has moved us; links of descriptors are found from the working directory."""
    scene.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchdir(scene.proc)
    files.entered = True


def _link(fd: int) -> bytes:
    return b"self/fd/%d" % fd


def check_place(step: InsideStep, scene: Scene) -> None:
    """Refuse a mount that a link has led to a guarded place.

    SECURITY: where it is now. It has covered that place for a moment, which shows nobody anything; a look before could
    be deceived.
    """
    assert scene.attached
    place = os.fsdecode(os.readlink(_link(scene.attached[-1])))
    why = guarded.refusal(place, step.args[0])
    if why:
        raise Failure(f"it leads to {place}: {why}")


def find(step: InsideStep, scene: Scene) -> None:
    """The uppermost mount there, in `step.fd`."""
    path, guards = step.args
    step.fd = files.open_in_root(scene.root, path)
    place = os.fsdecode(os.readlink(_link(step.fd)))
    why = guarded.refusal(place, guards)
    if why:
        raise Failure(f"it leads to {place}: {why}")
    if not mount.is_mount_point(step.fd):
        raise Failure("nothing is mounted there")


def take_away(step: InsideStep, _scene: Scene) -> None:
    """umount2(2) by descriptor, with what is mounted below.

    MNT_DETACH, since our own descriptor keeps the mount in use, as do files that are open in it: they stay usable. The
    link is followed: it is our own, which no process of the container can change. It went with another one if it is
    none any more.
    """
    try:
        mount.umount(_link(step.args[0].fd), mount.MNT_DETACH)
    except raw.KernelError as problem:
        if problem.errno != _EINVAL:
            raise


def carry_out(entry: Entry, work: Work, joining: join.Joining, facts: Facts, settle: Callable[[], None]) -> None:
    """Do the work, and `settle` when all of it is done; a `Failure` of either leaves the container as it was.

    What is removed does not come back.
    """
    if facts.initial_userns:
        # SECURITY: before the clone, as in `create`.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0, name="PR_SET_DUMPABLE")
    host = Host(entry, Plan(joining))
    if facts.distant:
        apart.gather(work.outside)
    parent.do_outside(work.outside, host)
    ours, theirs = Channel.pair()
    pid, pidfd = raw.clone3(0, signals.SIGCHLD)
    if pid == 0:
        _enter(work.inside, entry, ours, Scene(theirs, host.proc))
    theirs.close()
    raw.checked("clone3", pid)
    try:
        ours.expect(sync.READY)
        settle()
        ours.send(sync.CONTINUE)
    except StepFailed as problem:
        step = work.inside[problem.step] if problem.step >= 0 else None
        doing, where = (step.text, step.pointer) if step else ("enter the container", "")
        raise problem.failure(doing, where) from None
    except Gone:
        raise Failure("enter the container: the process that does it is gone") from None
    finally:
        ours.close()
        _end(pid, pidfd)


def _enter(steps: list[InsideStep], entry: Entry, other: Channel, scene: Scene) -> NoReturn:
    """The process in the container. It ends by itself: what it has begun it undoes when the runtime is gone."""
    begun: list[tuple[int, int]] = []
    scene.attached = []
    try:
        signals.block_all()
        other.close()
        os.close(entry.fd)  # the lock is the runtime's
        seal.close()
        raw.forget()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0, name="PR_SET_DUMPABLE")
        for step in steps:
            _check_runtime(scene.channel)
            begun.append((len(scene.attached), len(files.made)))
            step.do(step, scene)
        scene.channel.send(sync.READY)
        scene.channel.expect(sync.CONTINUE)
    except BaseException as problem:  # noqa: BLE001 (the runtime must hear of it, and there is nobody else)
        _undo(scene, begun)
        if not isinstance(problem, Gone):
            init.tell(scene.channel, len(begun) - 1, problem)
    finally:
        os._exit(0)


def _check_runtime(channel: Channel) -> None:
    """`Gone` when nobody waits for the rest."""
    try:
        channel.receive(_socket.MSG_DONTWAIT)
    except BlockingIOError:
        return


def _undo(scene: Scene, begun: list[tuple[int, int]]) -> None:
    """Step by step, the last first: a mount point may have been made in a mount that was attached before.

    begun: how many mounts there were before each step, and how many mount points. A mount that was not attached yet is
    none, and goes with its descriptor.
    """
    attached = scene.attached or []
    for mounts_before, made_before in reversed(begun):
        for fd in reversed(attached[mounts_before:]):
            try:
                mount.umount(_link(fd), mount.MNT_DETACH)
            except OSError:
                continue
        mountpoints.remove("/", files.made[made_before:])
        del attached[mounts_before:], files.made[made_before:]


def _end(pid: int, pidfd: int) -> None:
    """Reap it. One that hangs, since the container's own filesystem does not answer, is killed, and not waited for."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(_END_MILLISECONDS):
        kernel.pidfd_send_signal(pidfd, signals.SIGKILL)
    if poll.poll(_END_MILLISECONDS):
        os.waitpid(pid, 0)
    os.close(pidfd)
