"""What `create` and `run` share: the checks before the plan, and the steps from READY to a saved record."""

from __future__ import annotations

from ocirun import destroy, parent, state
from ocirun.errors import Failure, doing
from ocirun.facts import Facts
from ocirun.kernel import process as kernel
from ocirun.linux import console
from ocirun.plan import Plan, compose
from ocirun.sync import Gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeVar

    from ocirun.bundle import Bundle
    from ocirun.parent import Host
    from ocirun.request import Request

    T = TypeVar("T")

_RECEIVER: Final = "run.oci.pidfd_receiver"


@doing("plan the container")
def plan(bundle: Bundle, request: Request) -> Plan:
    """The checked plan. From here on nothing that the caller left open can reach the container.

    SECURITY: non-dumpable before the clone, so that the copy in the container starts that way (CVE-2019-5736). In a
    user namespace the container's process does it itself, because the parent still has to write to its /proc files.
    """
    state.check_id(request.ident)
    kernel.close_on_exec_from(3)
    process = bundle.config.get("process")
    if process or request.console_socket:
        console.check(process or {}, "/process", request.detached, request.console_socket)
    request.pidfd_socket = request.pidfd_socket or _pidfd_receiver(bundle.config)
    facts = Facts()
    made = compose(bundle, facts, request)
    if facts.distant:
        from ocirun import apart

        apart.gather(made.outside)
    if facts.initial_userns and not made.namespaces.private(kernel.CLONE_NEWUSER):
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0, name="PR_SET_DUMPABLE")
    return made


def _pidfd_receiver(config: dict[str, Any]) -> str:
    """The annotation that says the same as --pidfd-socket (crun's); it has no directory that it could begin at."""
    annotations: dict[str, str] = config.get("annotations") or {}
    if _RECEIVER not in annotations:
        return ""
    path = annotations[_RECEIVER]
    if not path.startswith("/"):
        raise Failure(f"send the pidfd: {path!r} is not an absolute path", where=f"/annotations/{_RECEIVER}")
    return path


def timed(plan: Plan, request: Request, deed: Callable[[], T]) -> T:
    """Do `deed`, which does the plan; with --trace the time of each step is written to that file."""
    if not request.trace:
        return deed()
    from ocirun.tracing import recorder

    return recorder.record(plan, request, deed)


def settle(host: Host, request: Request, phase: str, message: bytes) -> None:
    """Write the pid file and the record, then release the container's process with `message`.

    The record comes before the message: a runtime killed between the two leaves a process that sees end-of-file and
    exits, and a record that reads `stopped`.
    """
    try:
        if request.pid_file:
            parent.write_pid_file(request.pid_file, host.pid)
        host.record["phase"] = phase
        host.save()
        if message:
            host.channel.send(message)
    except Gone:
        failed = parent.gone(host)
        destroy.undo(host, run_poststop=False)
        raise failed from None
    except BaseException:
        destroy.undo(host, run_poststop=False)
        raise
