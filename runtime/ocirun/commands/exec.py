"""`exec`: run another process in a running container."""

from __future__ import annotations

from ocirun import bundle, cli, destroy, join, parent, starting, state
from ocirun.errors import Failure
from ocirun.facts import Facts
from ocirun.kernel import process as kernel
from ocirun.linux import console
from ocirun.parent import Host
from ocirun.request import Request, absolute
from ocirun.sync import StepFailed
from ocirun_spec import accept, jsontext, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.cli import Arguments
    from ocirun.state import Entry

_LARGEST_ID: Final = (1 << 32) - 2


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns the process's exit code, 0 with --detach."""
    request = Request(arguments, general, cli.state_root(general))
    kernel.close_on_exec_from(3 + request.preserve_fds + request.listen_fds)
    entry = state.find(request.root, request.ident)
    _check_status(entry, arguments.flag("ignore-paused"))
    config = _config(entry)
    process = _process(arguments, config)
    console.check(process, "", request.detached, request.console_socket)
    facts = Facts()
    if facts.initial_userns:
        # SECURITY: before the clone, as in `create`.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0, name="PR_SET_DUMPABLE")
    plan = join.compose(entry, config, process, facts, request, arguments.many("cgroup"))
    if request.detached:
        _start(Host(entry, plan), request)
        return 0
    from ocirun import foreground

    supervisor = foreground.Foreground()
    host = Host(entry, plan)
    _start(host, request)
    supervisor.keep_only(0, host.pidfd, host.terminal)
    return supervisor.supervise(host.pid, host.pidfd, host.terminal)


def _check_status(entry: Entry, ignore_paused: bool) -> None:
    status = entry.status()
    if status in (state.STOPPED, state.CREATING):
        raise Failure(f"container not running: it is {status}")
    if status == state.PAUSED and not ignore_paused:
        hint = "resume it, or pass --ignore-paused"
        raise Failure("cannot exec in a paused container: the process would not run", hint=hint)


def _config(entry: Entry) -> dict[str, Any]:
    """The container's own configuration; another command may have deleted the container since it was found."""
    try:
        text = entry.read("config.json").decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        raise Failure("container not running: it is being deleted") from None
    config: dict[str, Any] = jsontext.loads(text)
    return config


def _process(arguments: Arguments, config: dict[str, Any]) -> dict[str, Any]:
    """The process object: of the file, or the container's own changed by the options."""
    if path := arguments.text("process"):
        return _confined(_from_file(path), config.get("process") or {})
    if len(arguments.positionals) < 2:
        raise Failure("exec takes ID COMMAND [ARG…]: no command given", hint="or pass --process FILE")
    process = dict(config.get("process") or {"cwd": "/"})
    process["args"] = arguments.positionals[1:]
    process["terminal"] = arguments.flag("tty")
    process["env"] = [*(process.get("env") or ()), *arguments.many("env")]
    process["cwd"] = arguments.text("cwd") or process["cwd"]
    if arguments.flag("no-new-privs"):
        process["noNewPrivileges"] = True
    for option, member in (("apparmor", "apparmorProfile"), ("process-label", "selinuxLabel")):
        if value := arguments.text(option):
            process[member] = value
    process["user"] = _user(arguments, process.get("user") or {})
    process["capabilities"] = _capabilities(arguments.many("cap"), process.get("capabilities") or {})
    problem = accept.accept_process(process)
    if problem is not None:
        raise Failure("the process is not acceptable", where=problem)
    found: list[tuple[str, str]] = rules.check_process(process)
    if found:
        raise Failure(found[0][1], where=found[0][0])
    return process


def _from_file(path: str) -> dict[str, Any]:
    text, process = bundle.read_json(absolute(path), "the process file")
    strange: list[object] = []
    offence = accept.accept_process(process, strange)
    if offence is not None:
        raise Failure("the process is not acceptable", where=f"{path}: {offence or '/'}")
    found: list[tuple[str, str]] = rules.check_process(process)
    if found:
        raise Failure(found[0][1], where=f"{path}: {found[0][0]}")
    if not process.get("args"):
        raise Failure("the process has no args", where=f"{path}: /args")
    if strange:
        bundle.warn_unknown(path, text, process, "/process")
    checked: dict[str, Any] = process
    return checked


def _confined(process: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    """SECURITY: who names no profile or label does not ask for none: the process has the container's, as with runc."""
    names = [name for name in ("apparmorProfile", "selinuxLabel") if container.get(name) and not process.get(name)]
    return process | {name: container[name] for name in names}


def _user(arguments: Arguments, user: dict[str, Any]) -> dict[str, Any]:
    """--user UID[:GID] and --additional-gids: digits only, each a whole id (CVE-2026-30892)."""
    changed = dict(user)
    if arguments.text("user"):
        uid, colon, gid = arguments.text("user").partition(":")
        changed["uid"] = _id(uid, "--user")
        if colon:
            changed["gid"] = _id(gid, "--user")
    added = [_id(gid, "--additional-gids") for gid in arguments.many("additional-gids")]
    if added:
        changed["additionalGids"] = [*(user.get("additionalGids") or ()), *added]
    return changed


def _id(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > _LARGEST_ID:
        raise Failure(f"{option} takes numeric ids, not {text!r}")
    return int(text)


def _capabilities(added: list[str], capabilities: dict[str, list[str]]) -> dict[str, list[str]]:
    """--cap adds to bounding, effective and permitted. SECURITY: never to inheritable or ambient (CVE-2022-29162)."""
    changed = dict(capabilities)
    names = [name if name.startswith("CAP_") else f"CAP_{name}" for name in (each.upper() for each in added)]
    for each in ("bounding", "effective", "permitted"):
        if names:
            changed[each] = [*(capabilities.get(each) or ()), *names]
    return changed


def _start(host: Host, request: Request) -> None:
    """Clone, set up, execute. When it fails the process is gone and the container as before."""
    try:
        parent.launch(host, {}, waiting=-1)
        if request.pidfd_socket:
            parent.send_pidfd(request.pidfd_socket, host.pidfd)
        if request.pid_file:
            parent.write_pid_file(request.pid_file, host.pid)
        starting.execute(host.channel, host.entry, host.pid, state.RUNNING)
    except StepFailed as problem:
        destroy.end_child(host)
        raise parent.step_failure(host.plan, problem) from None
    except BaseException:
        destroy.end_child(host)
        raise
