"""Steps that belong to no one subsystem: a session of its own, no_new_privs, and the hooks of the container's side."""

from __future__ import annotations

import os

from ocirun import hooks as running
from ocirun.kernel import process as kernel
from ocirun.kernel import raw
from ocirun.steps import InsideStep
from ocirun.sync import CONTINUE, HOOKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.scene import Scene


def new_session(process: dict[str, Any] | None) -> list[InsideStep]:
    """setsid(2), which a terminal has done already."""
    if process and process.get("terminal"):
        return []
    return [InsideStep(set_session, "", "begin a session")]


def no_new_privileges(process: dict[str, Any], pointer: str) -> list[InsideStep]:
    """process.noNewPrivileges."""
    if not process.get("noNewPrivileges"):
        return []
    return [InsideStep(set_no_new_privileges, f"{pointer}/noNewPrivileges", "set no_new_privs")]


def leave_proc(process: dict[str, Any] | None) -> list[InsideStep]:
    """Before the root changes, unless a label has to be written at the end.

    SECURITY: a container's root with CAP_SYS_PTRACE reaches every descriptor of the waiting process, and through a
    procfs of the host the host.
    """
    if process and (process.get("apparmorProfile") or process.get("selinuxLabel")):
        return []
    return [InsideStep(close_proc, "", "close the host's procfs")]


def before_pivot(hooks: dict[str, Any]) -> list[InsideStep]:
    """prestart and createRuntime by the parent, then createContainer here, all before the root changes (config.md)."""
    steps = []
    if hooks.get("prestart") or hooks.get("createRuntime"):
        steps.append(InsideStep(ask_for_hooks, "/hooks", "let the runtime's hooks run"))
    if hooks.get("createContainer"):
        steps.append(InsideStep(stand_in_root, "/hooks/createContainer", "enter the root filesystem for its hooks"))
    steps += _own("createContainer", hooks)
    if hooks and not hooks.get("startContainer"):
        steps.append(InsideStep(close_logs, "", "close the hooks' logs"))
    return steps


def before_program(hooks: dict[str, Any], confine: InsideStep | None) -> list[InsideStep]:
    """startContainer, in the container, when `start` has come; `confine` is done in the process that becomes a hook."""
    return _own("startContainer", hooks, confine)


def _own(name: str, hooks: dict[str, Any], confine: InsideStep | None = None) -> list[InsideStep]:
    status = b"creating" if name == "createContainer" else b"created"
    return [
        InsideStep(run_hook, f"/hooks/{name}/{at}", f"error running hook {hook['path']}", hook, status, confine)
        for at, hook in enumerate(hooks.get(name) or ())
    ]


def close_proc(_step: InsideStep, scene: Scene) -> None:
    """close(2)."""
    os.close(scene.proc)
    scene.proc = -1


def set_session(_step: InsideStep, _scene: Scene) -> None:
    """setsid(2); EPERM says that this process already leads a group, as process 1 of a joined session may."""
    result = raw.syscall(raw.SETSID)
    if result < 0 and result != -1:
        raw.checked("setsid", result)


def set_no_new_privileges(_step: InsideStep, _scene: Scene) -> None:
    """prctl(PR_SET_NO_NEW_PRIVS)."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1, name="PR_SET_NO_NEW_PRIVS")


def ask_for_hooks(_step: InsideStep, scene: Scene) -> None:
    """HOOKS, CONTINUE."""
    scene.channel.send(HOOKS)
    scene.channel.expect(CONTINUE)


def stand_in_root(_step: InsideStep, scene: Scene) -> None:
    """createContainer hooks find the container's files below their working directory, as with runc."""
    os.fchdir(scene.root)


def run_hook(step: InsideStep, scene: Scene) -> None:
    """One hook, with the state as the container sees it: its own pid there."""
    hook, status, confine = step.args
    state = scene.state.replace(b'"status":""', b'"status":"%s"' % status).replace(
        b'"pid":0', b'"pid":%d' % os.getpid()
    )
    running.run(hook, state, False, scene.logs, (lambda: confine.do(confine, scene)) if confine else None)


def close_logs(_step: InsideStep, scene: Scene) -> None:
    """SECURITY: files of the host, which a process that waits for `start` need not hold."""
    running.close_logs(scene.logs)
    scene.logs = running.NO_LOGS
