"""`run`: create and start in one command; in the foreground it carries the terminal and returns the exit code."""

from __future__ import annotations

from ocirun import bundle, cli, destroy, parent, starting, state
from ocirun.commands import preparing
from ocirun.errors import Failure
from ocirun.request import Request
from ocirun.sync import StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.bundle import Bundle
    from ocirun.cli import Arguments
    from ocirun.foreground import Foreground
    from ocirun.linux.readiness import Readiness
    from ocirun.parent import Host
    from ocirun.plan import Plan
    from ocirun.state import Entry


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns the program's exit code, or 0 with --detach."""
    request = Request(arguments, general, cli.state_root(general))
    found = bundle.load(arguments.text("bundle"))
    if "process" not in found.config:
        raise Failure("run the program: the configuration has no process", where="/process")
    try:
        return _run(found, request, arguments)
    except Failure as problem:
        from ocirun import hints

        hints.add(problem, found)
        raise


def _run(found: Bundle, request: Request, arguments: Arguments) -> int:
    plan = preparing.plan(found, request)
    if request.detached:
        host, readiness = preparing.timed(plan, request, lambda: _begin(found, plan, request))
        if readiness:
            host.entry.unlock()
            readiness.wait()
        return 0
    from ocirun import foreground

    if not arguments.flag("no-subreaper"):
        foreground.adopt_orphans()
    return attended(found, plan, request, foreground.Foreground(), arguments.flag("keep"))


def attended(found: Bundle, plan: Plan, request: Request, supervisor: Foreground, keep: bool) -> int:
    """Create, start, and wait for the end; returns the program's exit code. `keep`: do not delete it then."""
    host, readiness = preparing.timed(plan, request, lambda: _begin(found, plan, request))
    status = wait(host, supervisor, readiness)
    if not keep:
        delete_finished(host.entry)
    return status


def wait(host: Host, supervisor: Foreground, readiness: Readiness | None) -> int:
    """Wait for the program with nothing but what that and the deletion need; returns its exit code."""
    from ocirun import foreground

    host.entry.unlock()  # pause or delete --force must not wait for the program's end
    needed = foreground.ALL if _gives_rights(host.entry) else foreground.TO_DELETE
    kept = (host.pidfd, host.terminal, host.entry.fd, readiness.fd if readiness else -1)
    supervisor.keep_only(needed, *kept)
    status = supervisor.supervise(host.pid, host.pidfd, host.terminal, readiness)
    foreground.reap_orphans()
    return status


def _gives_rights(entry: Entry) -> bool:
    """Whether somebody at the end counts on the runtime's rights: hooks inherit them, systemd may ask for them."""
    hooks, cgroup = entry.record.get("hooks") or {}, entry.record.get("cgroup") or {}
    return bool(hooks.get("poststop") or cgroup.get("unit"))


def delete_finished(entry: Entry) -> None:
    """Delete the container, unless another command has done so or does so now."""
    try:
        entry.lock()
    except Failure:
        if entry.removed():
            return
        raise
    destroy.delete(entry)


def _begin(found: Bundle, plan: Plan, request: Request) -> tuple[Host, Readiness | None]:
    """Create and start."""
    host = parent.create(found, plan, request)
    return host, _start(host, request)


def _start(host: Host, request: Request) -> Readiness | None:
    """Start the program; when it cannot be executed nothing stays behind. Returns what tells that it is ready."""
    # Recorded as running before it is: what is killed in between leaves a process that sees end-of-file and exits.
    preparing.settle(host, request, state.RUNNING, b"")
    try:
        readiness = starting.awaited(host.entry)
        starting.execute(host.channel, host.entry, host.pid, state.CREATED)
    except StepFailed as problem:
        failed = parent.step_failure(host.plan, problem)
        destroy.undo(host, run_poststop=failed.where.startswith("/hooks/"))
        raise failed from None
    except BaseException:
        destroy.undo(host, run_poststop=False)
        raise
    starting.poststart(host.entry)
    return readiness
