"""What `do` runs: options become a configuration, without a look at the host but through `Surroundings`. Pure, cold.

It begins with what `spec` writes and takes away: no capability, one id in a user namespace, the root and all that is
mounted in it read-only, the host's /run, /tmp, /dev and cgroups out of sight, limits, a filter (`sandbox_filter`).

SECURITY: nothing is made below the root. Its missing mount points would be made on the host, so that they are refused.
"""

from __future__ import annotations

import os

from ocirun import asked, log, sandbox_filter
from ocirun.commands import spec
from ocirun.errors import Failure
from ocirun.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from ocirun.cli import Arguments

    Mount = dict[str, Any]

NOBODY: Final = 65534
MEMORY: Final = 512 << 20
PIDS: Final = 256
PERIOD: Final = 100_000
"""Microseconds in which --cpus is counted."""
SEARCHED: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
EMPTY: Final = ("/tmp", "/run", "/var/tmp")
"""What is an empty tmpfs unless something is bound there."""
MASKED: Final = ("/sys/fs/cgroup", "/sys/fs/bpf", "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing")
DIRECTORY: Final = "directory"
_LARGEST_ID: Final = (1 << 32) - 2
_OWN: Final = ("/proc", "/dev", "/sys")
_CLOSED: Final = ("rbind", "rro", "rnosuid", "rnodev")
_OPEN: Final = ("rbind", "rnosuid", "rnodev")


class Surroundings:
    """What there is around the sandbox.

    root:       the directory that becomes its root, absolute.
    state:      the runtime's state directory, absolute.
    uid, gid:   the caller's ids.
    privileged: whether the caller may choose host ids, which is root outside of any user namespace.
    userns:     whether user namespaces can be made.
    limited:    whether the caller may make a cgroup with limits.
    terminal:   whether the caller sits at a terminal.
    cwd:        the caller's working directory, "" where the root is not the host's.
    environ:    the caller's environment.
    mounted:    the mount points of the host.
    seccomp:    the profile of --seccomp, None without.
    inside:     gives "directory", "file" or "" for a path in the root.
    outside:    the same for a path of the host.
    reachable:  whether (path, uid, gid) may be entered or opened, by the rights on the way to it; ids of the host.
    enters:     whether (directory, uid, gid) may be entered by its own rights alone.
    """

    root: str
    state: str
    uid: int
    gid: int
    privileged: bool
    userns: bool
    limited: bool
    terminal: bool
    cwd: str
    environ: dict[str, str]
    mounted: list[str]
    seccomp: Any
    inside: Callable[[str], str]
    outside: Callable[[str], str]
    reachable: Callable[[str, int, int], bool]
    enters: Callable[[str, int, int], bool]


def compose(arguments: Arguments, around: Surroundings) -> dict[str, Any]:
    """The whole configuration; refuses what cannot be understood, naming the option."""
    config = spec.default(True)
    uid, gid = _user(arguments.text("user"), around)
    really = (uid, gid) if around.privileged else (around.uid, around.gid)
    resources = _resources(arguments, around)
    size = resources.get("memory", {}).get("limit", MEMORY)
    placed = _placed(arguments, around, size)
    _warn_of_closed(placed, around, really)
    shared = arguments.text("network") == "host"
    config["hostname"] = arguments.text("hostname", "sandbox")
    config["root"] = {"path": around.root, "readonly": True}
    config["process"] = {
        "terminal": arguments.flag("tty") if "tty" in arguments.values else around.terminal,
        "user": {"uid": uid, "gid": gid},
        "args": arguments.positionals,
        "env": _environment(arguments, around),
        "cwd": _cwd(arguments.text("cwd"), around, placed, really),
        "capabilities": {name: [] for name in config["process"]["capabilities"]},
        "rlimits": [{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}],
        "noNewPrivileges": True,
    }
    config["mounts"] = [*_closed(around, placed), *_views(config["mounts"], shared), *placed.values()]
    linux = config["linux"]
    linux["rootfsPropagation"] = "rprivate"  # what the host mounts from now on would be writable
    linux["resources"].update(resources)
    linux["seccomp"] = sandbox_filter.profile() if around.seccomp is None else around.seccomp
    linux["maskedPaths"] += MASKED
    if around.reachable(around.state, *really):
        linux["maskedPaths"].append(around.state)
    if shared:
        linux["namespaces"] = [each for each in linux["namespaces"] if each["type"] != "network"]
    if around.userns:
        linux["namespaces"].append({"type": "user"})
        for name, inner, host in (("uid", uid, really[0]), ("gid", gid, really[1])):
            linux[f"{name}Mappings"] = [{"containerID": inner, "hostID": host, "size": 1}]
    return config


def _user(text: str, around: Surroundings) -> tuple[int, int]:
    """(uid, gid): a plain user stays himself; root, whom capabilities do not make, becomes nobody."""
    if not text:
        return (NOBODY, NOBODY) if around.privileged else (around.uid, around.gid)
    uid, colon, gid = text.partition(":")
    if not colon:
        gid = uid if around.privileged or uid == "0" else str(around.gid)
    return _whole("user", uid, _LARGEST_ID), _whole("user", gid, _LARGEST_ID)


def _whole(option: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
        raise Failure(f"{text!r} is not a whole number up to {most}", where=f"--{option}")
    return int(text)


def positive(option: str, text: str) -> float:
    """A number above 0, perhaps with a fraction."""
    whole, point, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16 and int(digits)) or (point and not fraction):
        raise Failure(f"{text!r} is not a number above 0", where=f"--{option}")
    return float(text)


def _resources(arguments: Arguments, around: Surroundings) -> dict[str, Any]:
    """The limits; those that nobody has asked for only where they can be had."""
    found: dict[str, Any] = {}
    if memory := arguments.text("memory"):
        found["memory"] = {"limit": asked.size("memory", memory)}
    elif around.limited:
        found["memory"] = {"limit": MEMORY}
    if pids := arguments.text("pids"):
        found["pids"] = {"limit": -1 if pids == "-1" else _whole("pids", pids, 1 << 22)}
    elif around.limited:
        found["pids"] = {"limit": PIDS}
    if cpus := arguments.text("cpus"):
        found["cpu"] = {"quota": max(1000, round(positive("cpus", cpus) * PERIOD)), "period": PERIOD}
    return found


def _environment(arguments: Arguments, around: Surroundings) -> list[str]:
    found = {"PATH": SEARCHED, "HOME": EMPTY[0], "LANG": around.environ.get("LANG", "C.UTF-8")}
    found["TERM"] = around.environ.get("TERM", "dumb")
    for each in arguments.many("env"):
        name, equals, value = each.partition("=")
        if not (name and equals):
            raise Failure(f"{each!r} is not NAME=VALUE", where="--env")
        found[name] = value
    return [f"{name}={value}" for name, value in found.items()]


def _mount(destination: str, kind: str, source: str, *options: str) -> Mount:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _placed(arguments: Arguments, around: Surroundings, size: int) -> dict[str, Mount]:
    """Destination to mount, parents first: --bind goes before --ro-bind, and that before a tmpfs."""
    bounded = [f"size={size}"] if size > 0 else []
    options = ["nosuid", "nodev", "mode=1777", *bounded]
    wanted = {}
    for path in [path for path in EMPTY if around.inside(path) == DIRECTORY] + arguments.many("tmpfs"):
        destination = _absolute("tmpfs", path)
        wanted[destination] = ("tmpfs", _mount(destination, "tmpfs", "tmpfs", *options))
    for option, flags in (("ro-bind", _CLOSED), ("bind", _OPEN)):
        for each in arguments.many(option):
            source, _, place = each.partition(":")
            source = os.path.abspath(source) if source else ""
            if not around.outside(source):
                raise _absent(option, each, source, around)
            destination = _absolute(option, place or source)
            wanted[destination] = (option, _mount(destination, "bind", source, *flags))
    placed: dict[str, Mount] = {}
    for destination in sorted(wanted, key=lambda path: path.split("/")):
        option, mount = wanted[destination]
        kind = around.outside(mount["source"]) if mount["type"] == "bind" else DIRECTORY
        _check_place(f"--{option}", destination, kind, _there(destination, around, placed))
        placed[destination] = mount
    return placed


def _absent(option: str, each: str, source: str, around: Surroundings) -> Failure:
    if source and not around.reachable(os.path.dirname(source), around.uid, around.gid):
        hint = f"uid {around.uid} may not enter a directory on the way to it"
        return Failure(f"bind {each}: {source} is out of reach", where=f"--{option}", hint=hint)
    return Failure(f"bind {each}: there is no {source or 'source'}", where=f"--{option}")


def _warn_of_closed(placed: dict[str, Mount], around: Surroundings, really: tuple[int, int]) -> None:
    """What is bound has no use where the command may not enter it, and root's capabilities do not come along."""
    for mount in placed.values():
        source = mount["source"]
        if mount["type"] == "bind" and around.outside(source) == DIRECTORY and not around.enters(source, *really):
            what = f"{source} is bound, but uid {really[0]}, as whom the command runs, may not enter it"
            log.warning(what + ("; --user names another one" if around.privileged else f"; chmod +x {source}"))


def _absolute(option: str, path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/") or files.clean(path) == "/":
        raise Failure(f"{path!r} is not an absolute path below the root", where=f"--{option}")
    return files.clean(path)


def _check_place(option: str, destination: str, kind: str, there: str) -> None:
    if not there:
        hint = "it would have to be made; below /tmp and other tmpfs it can be"
        raise Failure(f"mount on {destination}: the sandbox has no such path", where=option, hint=hint)
    if there not in (kind, "free"):
        raise Failure(f"mount a {kind} on {destination}: that is a {there}", where=option)


def _there(path: str, around: Surroundings, placed: dict[str, Mount]) -> str:
    """What is at the path with `placed` in place: "directory", "file", "", or "free" where anything can be made."""
    above = path
    while above != "/":
        mount = placed.get(above)
        if mount and mount["type"] == "bind":
            return around.outside(mount["source"] + path[len(above) :])
        if mount or above == "/dev":
            return DIRECTORY if above == path else "free"
        above = os.path.dirname(above)
    return around.inside(path)


def _cwd(text: str, around: Surroundings, placed: dict[str, Mount], really: tuple[int, int]) -> str:
    """The one asked for, else the caller's where it is to be seen and may be entered, else /."""
    if text:
        path = text if text == "/" else _absolute("cwd", text)
        if _there(path, around, placed) not in (DIRECTORY, "free"):
            raise Failure(f"work in {path}: the sandbox has no such directory", where="--cwd")
        return path
    here = around.cwd
    hidden = not here or f"{here}/".startswith(tuple(f"{path}/" for path in _OWN))
    if hidden or _there(here, around, placed) != DIRECTORY or not around.reachable(here, *really):
        return "/"
    return here


def _closed(around: Surroundings, placed: dict[str, Mount]) -> list[Mount]:
    """`root.readonly` is about one mount: what has others in it is bound on itself, read-only to the last."""
    base = around.root.rstrip("/")
    tops = {point[len(base) :].split("/")[1] for point in around.mounted if point.startswith(f"{base}/")} - {""}
    paths = [path for top in sorted(tops) if (path := f"/{top}") not in _OWN and path not in placed]
    return [_mount(path, "bind", base + path, *_CLOSED) for path in paths if around.inside(path)]


def _views(written: list[Mount], shared: bool) -> list[Mount]:
    """/proc, /dev and /sys. A sysfs belongs to the owner of the network, so that the host's is bound."""
    found = [each for each in written if each["destination"] != "/sys/fs/cgroup"]
    for each in found:
        each["options"] = [option for option in each["options"] if option != "gid=5"]
    if shared:
        bound = _mount("/sys", "bind", "/sys", *_CLOSED, "rnoexec")
        found = [bound if each["destination"] == "/sys" else each for each in found]
    return found
