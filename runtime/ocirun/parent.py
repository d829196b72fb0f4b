"""The host side of `create` and `run`: makes the plan real, answers the container's process, undoes on failure.

    claim the id · save the record · the `outside` steps · clone · the `adopt` steps · GO · the dialogue · READY

A record is saved before each thing that outlives a killed runtime, so that `delete --force` finds it. Whatever fails,
the undo runs: kill what was cloned, remove the cgroups, remove the folder; for a failed hook the poststop hooks too,
since runtime.md continues the lifecycle there.
"""

from __future__ import annotations

import _socket
import os
import time

from ocirun import SPEC_VERSION, destroy, hooks, init, log, seal, state, sync
from ocirun.errors import Failure, doing, failure
from ocirun.kernel import files, raw, signals
from ocirun.kernel import process as kernel
from ocirun.linux import namespaces
from ocirun.scene import Scene
from ocirun.sync import Channel, Gone, StepFailed
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.bundle import Bundle
    from ocirun.plan import Plan
    from ocirun.request import Request
    from ocirun.state import Entry
    from ocirun.steps import OutsideStep

_EINVAL: Final = 22


class Host:
    """What the outside steps work on.

    pid:       the container's process in the runtime's pid namespace, 0 before the clone.
    pidfd:     its pidfd, -1 before the clone.
    cgroup_fd: a cgroup2 directory for CLONE_INTO_CGROUP, -1 without.
    proc:      O_PATH descriptor of the host's procfs.
    made:      mount points that the container's process has made in the image's root, see `sync.MADE`.
    failed:    when all of it was given up (nanoseconds since 1970), 0 otherwise.
    terminal:  the pty's master of a foreground `run`, -1 otherwise.
    """

    __slots__ = (
        "cgroup_fd",
        "channel",
        "entry",
        "failed",
        "made",
        "pid",
        "pidfd",
        "plan",
        "proc",
        "record",
        "terminal",
    )

    def __init__(self, entry: Entry, plan: Plan) -> None:
        self.entry = entry
        self.record = entry.record
        self.plan = plan
        self.pid = 0
        self.pidfd = -1
        self.cgroup_fd = -1
        self.made: list[bytes] = []
        self.proc = files.open_proc()
        self.terminal = -1
        self.failed = 0
        self.channel: Channel

    def save(self) -> None:
        """Write the record."""
        self.entry.save()


def create(bundle: Bundle, plan: Plan, request: Request) -> Host:
    """Make the container up to where only its program is missing. Succeeds whole or leaves nothing behind."""
    entry = state.claim(request.root, request.ident)
    try:
        entry.record = first_record(bundle, request)
        host = Host(entry, plan)
    except BaseException:
        entry.remove()
        raise
    try:
        host.save()
        entry.write("config.json", bundle.text.encode("utf-8", "surrogateescape"))
        _build(host, bundle, request)
    except BaseException as problem:
        hooks_failed = isinstance(problem, Failure) and problem.where.startswith("/hooks/")
        destroy.undo(host, run_poststop=hooks_failed)
        raise
    return host


def first_record(bundle: Bundle, request: Request) -> dict[str, Any]:
    """The record of a container whose creation has begun."""
    config = bundle.config
    configured: dict[str, Any] = config.get("hooks") or {}
    me = os.getpid()
    return {
        "ociVersion": SPEC_VERSION,
        "id": request.ident,
        "phase": state.CREATING,
        "creator": [me, kernel.start_time(me)],
        "pid": 0,
        "start": 0,
        "bundle": bundle.path,
        "rootfs": os.path.join(bundle.path, config["root"]["path"]),
        "created": _now(),
        "owner": os.geteuid(),
        "program": bool(config.get("process")),
        "annotations": config.get("annotations") or {},
        "hooks": {name: configured[name] for name in ("poststart", "poststop") if configured.get(name)},
        "cgroup": None,
        "listener": _listener(config, bundle.path),
        "notify": request.notify,
    }


def _listener(config: dict[str, Any], bundle: str) -> list[str] | None:
    """Where `start`, `run` and `exec` find the listener of SCMP_ACT_NOTIFY: its path, absolute, and its metadata."""
    profile: dict[str, Any] = (config.get("linux") or {}).get("seccomp") or {}
    path = profile.get("listenerPath")
    return [os.path.join(bundle, path), profile.get("listenerMetadata") or ""] if path else None


def _now() -> str:
    """RFC 3339 with nanoseconds, as Go's callers parse it."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


def _build(host: Host, bundle: Bundle, request: Request) -> None:
    waiting = -1 if request.starts else _listen(host.entry)
    launch(host, bundle.config.get("hooks") or {}, waiting)
    if request.pidfd_socket:
        send_pidfd(request.pidfd_socket, host.pidfd)


@doing("make the container's process")
def launch(host: Host, configured: dict[str, Any], waiting: int) -> None:
    """From the plan to READY, and the ready steps: outside, the clone, adopt, the dialogue. `create` and `exec` both.

    configured: the hooks; `waiting`: the start socket of a `create`, which the record then describes, or -1.
    """
    plan = host.plan
    do_outside(plan.outside, host)
    ours, theirs = Channel.pair()
    scene = Scene(theirs, host.proc)
    scene.state = state_json(host.entry, "")
    scene.waiting = waiting
    host.channel = ours
    if configured:  # even if none of them runs inside: a log that cannot be opened fails before anything runs
        scene.logs = hooks.open_logs(host.record)
    _clone(host, scene, ours)
    hooks.close_logs(scene.logs)
    do_outside(plan.adopt, host)
    converse(host, configured)
    do_outside(plan.ready, host)


def do_outside(steps: list[OutsideStep], host: Host) -> None:
    """Do the parent's steps; the one that fails becomes a Failure that names it."""
    for step in steps:
        began = time.monotonic_ns() if log.debugging() else 0
        try:
            step.do(step, host)
        except OSError as problem:
            raise failure(step.text, problem, where=step.pointer) from None
        if began:
            log.debug(f"{step.text}: {(time.monotonic_ns() - began) // 1000} µs")


def _listen(entry: Entry) -> int:
    """The socket on which the created container waits for `start`."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    umask = os.umask(0o177)
    try:
        listener.bind(entry.socket_address())
        listener.listen(8)
    except OSError as problem:
        raise failure("listen for start", problem, where=f"{entry.path}/start") from None
    finally:
        os.umask(umask)
    return listener.detach()


def _clone(host: Host, scene: Scene, ours: Channel) -> None:
    """clone3(2), once; with a middle process where namespaces have to be joined first (see `namespaces`)."""
    spaces = host.plan.namespaces
    own = spaces.enter_for_children()
    middle = spaces.needs_middle
    pid, pidfd = raw.clone3(0 if middle else spaces.new, signals.SIGCHLD, host.cgroup_fd)
    if pid == 0:
        try:
            seal.close()
            raw.forget()  # SECURITY: nothing in the container reads the host's command line and environment
            _let_go(host, ours)
            if middle:
                _middle(host, scene)
        except BaseException as problem:  # noqa: BLE001 (our callers' ways to undo things are the parent's)
            init.fail(scene, problem)
        init.main(host.plan, scene)
    if pid < 0:
        raise _clone_failure(-pid, spaces.new)
    spaces.leave(own)
    scene.channel.close()  # before anything is awaited: only then does the other side's death end the wait
    host.pid, host.pidfd = pid, pidfd
    if middle:
        _adopt_from_middle(host)


def _let_go(host: Host, ours: Channel) -> None:
    """In the child: close what is the parent's alone. The state folder's descriptor is the lock: it must go."""
    ours.close()
    os.close(host.entry.fd)
    if host.cgroup_fd >= 0:
        os.close(host.cgroup_fd)
    log.close()


def _middle(host: Host, scene: Scene) -> None:
    """Join, then clone the container's process as the runtime's own child. Returns in that child only."""
    spaces = host.plan.namespaces
    spaces.join_all()
    if not host.plan.needs_proc:
        os.close(scene.proc)
    pid = raw.clone3(spaces.new | kernel.CLONE_PARENT, 0)[0]
    raw.checked("clone3", pid)
    if pid:
        scene.channel.send(sync.PID, b"%d" % pid)
        os._exit(0)


def _adopt_from_middle(host: Host) -> None:
    """Take over the child that the middle process cloned, and reap the middle process.

    It has spoken when it ends. Its end is awaited first, for the child holds the channel open too: who waited for words
    would wait for ever when it is killed. The child of one that did not speak ends with the channel.
    """
    middle, middle_fd, host.pid, host.pidfd = host.pid, host.pidfd, 0, -1
    os.waitpid(middle, 0)
    os.close(middle_fd)
    try:
        pid = host.channel.expect_pid()
    except StepFailed as problem:
        raise step_failure(host.plan, problem, "join the namespaces", "/linux/namespaces") from None
    except (Gone, BlockingIOError):
        raise Failure("join the namespaces: the process that should do it is gone", where="/linux/namespaces") from None
    host.pid = pid
    host.pidfd = kernel.pidfd_open(host.pid)


def _clone_failure(errno: int, new: int) -> Failure:
    names = [namespaces.name_of(1 << bit) for bit in range(32) if new >> bit & 1]
    hint = ""
    if errno == 1 and os.geteuid() != 0:
        hint = "without root a user namespace is needed: ocirun spec --rootless shows a configuration"
    elif errno == _EINVAL:
        hint = "the kernel may lack one of these namespaces"
    elif errno == 28:
        hint = "a limit in /proc/sys/user is reached"
    doing = f"make the container's process with new namespaces ({', '.join(names)})"
    return Failure(doing, where="/linux/namespaces", call="clone3", errno=errno, hint=hint)


@doing("hear from the container's process")
def converse(host: Host, configured: dict[str, Any]) -> None:
    """GO, then answer until READY; see the table in `sync`.

    The record is saved while the container's process is at work already: until it has our answer to READY it dies with
    us, so that nothing can outlive a runtime that is killed before.
    """
    try:
        host.channel.send(sync.GO)
        _record_process(host)
        while True:
            kind, payload, fd = host.channel.receive()
            if kind == sync.READY:
                return
            if kind == sync.MADE:
                host.made.append(payload)
            elif kind == sync.HOOKS:
                document = state_json(host.entry, state.CREATING)
                for name in ("prestart", "createRuntime"):
                    hooks.run_all(configured.get(name) or [], f"/hooks/{name}", document, host.record)
                host.channel.send(sync.CONTINUE)
            elif kind == sync.TERMINAL and host.terminal < 0:
                from ocirun import foreground

                host.terminal = fd
                foreground.copy_size(fd)
            else:
                if fd >= 0:
                    os.close(fd)
                raise Failure(f"the container's first process said {kind!r} out of turn")
    except StepFailed as problem:
        raise step_failure(host.plan, problem) from None
    except Gone:
        raise gone(host) from None


def _record_process(host: Host) -> None:
    """Save which process it is and what it still has to do at `start`; for `exec` the record is the container's."""
    plan = host.plan
    if not host.record["pid"]:
        host.record["pid"] = host.pid
        host.record["start"] = kernel.start_time(host.pid)
        host.record["launch"] = [len(plan.inside), *([step.pointer, step.text] for step in plan.launch)]
        host.save()


def step_failure(plan: Plan, problem: StepFailed, doing: str = "", where: str = "") -> Failure:
    """The words for a step that failed in the container: the plan knows which it was."""
    step = plan.step(problem.step)
    if step is not None:
        doing, where = step.text, step.pointer
    return problem.failure(doing or "set the container up", where)


def gone(host: Host) -> Failure:
    """The container's process died without a word: killed, most likely by the memory limit."""
    _pid, status = os.waitpid(host.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signals.SIGKILL and host.record["cgroup"] and host.record["pid"] in (0, host.pid):
        from ocirun.linux import cgroup

        found = cgroup.memory_death(host.record["cgroup"], host.plan.outside)
        if found:
            return found
    how = f"killed by signal {-code}" if code < 0 else f"exited with status {code}"
    hint = "a memory limit that is too low kills it: see linux.resources.memory" if code == -9 else ""
    return Failure(f"the container's first process was {how} while it set itself up", hint=hint)


def state_json(entry: Entry, status: str) -> bytes:
    """The state document as bytes, for hooks and listeners."""
    return jsontext.dumps(entry.oci(status)).encode("utf-8", "surrogateescape")


def write_pid_file(path: str, pid: int) -> None:
    """The process id in decimal, by rename so that a reader never sees an empty file."""
    try:
        temporary = f"{path}.{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, b"%d" % pid)
            os.rename(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)
    except OSError as problem:
        raise failure("write the pid file", problem, where=path) from None


def send_pidfd(path: str, pidfd: int) -> None:
    """--pidfd-socket: connect and pass the descriptor."""
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    place = -1
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        link.connect(f"/proc/self/fd/{place}")  # a path may be longer than sun_path's 108 bytes
        link.sendmsg([b"pidfd"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, pidfd.to_bytes(4, "little"))])
    except OSError as problem:
        raise failure("send the pidfd", problem, where=path) from None
    finally:
        link.close()
        if place >= 0:
            os.close(place)
