"""`do`: a command in a throwaway sandbox, without a bundle. Composes a configuration, and runs that as `run` does."""

from __future__ import annotations

import os
import stat

from ocirun import bundle, cli, foreground, log, sandbox
from ocirun.cli import Arguments
from ocirun.commands import preparing
from ocirun.commands.run import attended
from ocirun.errors import Failure
from ocirun.facts import Facts
from ocirun.kernel import files, mount
from ocirun.linux.cgroup import chance
from ocirun.request import Request
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_NAMED: Final = "the sandbox's configuration"
_USERNS_MAX: Final = "/proc/sys/user/max_user_namespaces"


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns the command's exit code, or 124 when its time was over."""
    seconds = sandbox.positive("timeout", arguments.text("timeout")) if arguments.text("timeout") else 0.0
    state = cli.state_root(general)
    config = sandbox.compose(arguments, _surroundings(arguments, general, state))
    text = jsontext.pretty(config) + "\n"
    found = bundle.checked(config["root"]["path"], text, config, _NAMED)
    if arguments.flag("print-config"):
        log.write_all(1, text)
        return 0
    asked = Arguments("run")
    asked.positionals = [arguments.text("id") or f"do-{os.getpid()}-{os.urandom(4).hex()}"]
    request = Request(asked, general, state)
    request.notify = False
    foreground.adopt_orphans()
    try:
        plan = preparing.plan(found, request)
        return attended(found, plan, request, foreground.Foreground(seconds, mortal=True), keep=False)
    except Failure as problem:
        from ocirun import hints

        hints.add(problem, found)
        raise


def _surroundings(arguments: Arguments, general: Arguments, state: str) -> sandbox.Surroundings:
    facts = Facts()
    around = sandbox.Surroundings()
    around.root = os.path.abspath(arguments.text("rootfs") or "/")
    try:
        root = os.open(around.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as problem:
        what = f"take {around.root} for the root"
        raise Failure(what, where="--rootfs", call="open", errno=problem.errno or 0) from None
    around.state = state
    around.uid, around.gid = facts.euid, os.getegid()
    around.privileged = facts.euid == 0 and facts.initial_userns
    around.userns = not around.privileged or _may_nest()
    around.limited = general.flag("systemd-cgroup") or chance.may_limit(facts.cgroups)
    around.terminal = os.isatty(0) and os.isatty(1)
    around.cwd = os.getcwd() if around.root == "/" else ""
    around.environ = dict(os.environ)
    around.mounted = [
        os.fsdecode(mount.unescape(line.split(b" ")[4])) for line in mount.mountinfo().splitlines() if line
    ]
    path = arguments.text("seccomp")
    around.seccomp = bundle.read_json(os.path.abspath(path), "the seccomp profile")[1] if path else None
    around.inside = lambda name: _kind(root, name)
    around.outside = _kind_outside
    groups = set() if around.privileged else set(os.getgroups())
    around.reachable = lambda name, uid, gid: _reachable(name, uid, {gid, *groups})
    around.enters = lambda name, uid, gid: _enters(os.stat(name), uid, {gid, *groups})
    return around


def _may_nest() -> bool:
    """Whether root can make a user namespace: not where the kernel has none, or none is allowed."""
    try:
        fd = os.open(_USERNS_MAX, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return int(os.read(fd, 64)) > 0
    finally:
        os.close(fd)


def _kind(root: int, name: str) -> str:
    """What there is in the root; links lead nowhere out of it."""
    try:
        fd = files.open_in_root(root, os.fsencode(name))
    except OSError:
        return ""
    try:
        return _word(os.fstat(fd))
    finally:
        os.close(fd)


def _kind_outside(name: str) -> str:
    try:
        return _word(os.stat(name))
    except OSError:
        return ""


def _word(found: os.stat_result) -> str:
    return sandbox.DIRECTORY if stat.S_ISDIR(found.st_mode) else "file"


def _reachable(path: str, uid: int, groups: set[int]) -> bool:
    """Whether these ids may enter each directory on the way, by the bits of the modes; one not there yet is open."""
    while True:
        try:
            found = os.stat(path)
        except FileNotFoundError:
            path = os.path.dirname(path)
            continue
        except OSError:
            return False
        if stat.S_ISDIR(found.st_mode) and not _enters(found, uid, groups):
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


def _enters(found: os.stat_result, uid: int, groups: set[int]) -> bool:
    shift = 6 if found.st_uid == uid else 3 if found.st_gid in groups else 0
    return bool(found.st_mode >> shift & 1)
