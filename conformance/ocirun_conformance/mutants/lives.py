"""Mutants that live another life than runtime.md describes: `life NAME` is the function of that name."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from .spoil import create_with, edited, read_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from .good import Good

    Life = Callable[..., int]

LIVES: dict[str, Life] = {}

LEFTOVER = {
    "process": {"args": ["/probe", "wait"], "cwd": "/"},
    "root": {"path": "rootfs"},
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
}
"""A config that every runtime takes, but for its version."""


def _at(operation: str) -> Callable[[Life], Life]:
    """Register it; all other operations are those of the good runtime."""

    def decorate(life: Life) -> Life:
        def call(good: Good, *words: str) -> int:
            if good.request.operation != operation:
                good.become()
            return life(good, *words)

        LIVES[life.__name__.strip("_").replace("_", "-")] = call
        return life

    return decorate


def _remove(good: Good) -> None:
    good.run(good.request.again("delete", "--force"), quiet=True)


@_at("create")
def _create_starts(good: Good) -> int:
    """Create runs the program at once."""
    return good.run() or (good.run(good.request.again("start"), quiet=True) and 0)


@_at("create")
def _create_takes_over(good: Good) -> int:
    """A used id goes to the new container."""
    if good.status != "unknown":
        _remove(good)
    good.become()


@_at("create")
def _create_takes_over_and_fails(good: Good) -> int:
    """A used id goes to the new container, in spite of an error."""
    if good.status == "unknown":
        good.become()
    _remove(good)
    good.run(quiet=True)
    return 1


@_at("create")
def _create_evicts(good: Good) -> int:
    """A used id is refused, but its container is gone then."""
    if good.status == "unknown":
        good.become()
    code = good.run()
    _remove(good)
    return code


@_at("create")
def _create_mends_the_id(good: Good) -> int:
    """A malformed id becomes another one."""
    ident = good.request.ident
    mended = "".join(char if char.isascii() and (char.isalnum() or char in "_+-.") else "_" for char in ident).strip(
        "."
    )
    if mended == ident:
        good.become()
    good.become([mended or "_" if word == ident else word for word in good.request.argv])


@_at("create")
def _create_leaves(good: Good) -> int:
    """Create fails and leaves a container all the same."""
    code = good.run()
    path, original = read_config(good)
    if code and original:
        version = {"ociVersion": "1.0.2"}
        create_with(good, path, original, json.dumps({**version, **LEFTOVER}).encode())
    return code


@_at("create")
def _create_leaves_cgroup(good: Good) -> int:
    """Create fails and leaves the cgroup."""
    code = good.run()
    if code:
        _make_cgroups(_cgroups_path(good.request.bundle))
    return code


@_at("create")
def _create_fails_after_warning(good: Good) -> int:
    """What should be a warning of create is an error."""
    return _fails_after_warning(good)


@_at("delete")
def _delete_fails_after_warning(good: Good) -> int:
    """What should be a warning of delete is an error."""
    return _fails_after_warning(good)


def _fails_after_warning(good: Good) -> int:
    errors = os.memfd_create("errors")
    code = good.run(streams={2: errors})
    text = os.pread(errors, os.fstat(errors).st_size, 0)
    os.write(2, text)
    return code or (1 if text.strip() else 0)


@_at("create")
def _create_refuses(good: Good, pointer: str) -> int:
    """A config with this member is refused, though there is nothing wrong with it."""
    _path, original = read_config(good)
    if original and edited(original, ["drop", pointer]):
        os.write(2, f"{pointer}: not supported\n".encode())
        return 1
    good.become()


@_at("create")
def _create_changes_owner(good: Good) -> int:
    """The root's files get the owner to whom the container's root is mapped."""
    path, original = read_config(good)
    code = good.run()
    mappings: list[Any] = json.loads(original).get("linux", {}).get("uidMappings") or [] if code == 0 else []
    rootfs = os.path.join(os.path.dirname(path), "rootfs")
    for each in mappings[:1]:
        for folder, _names, files in os.walk(rootfs):
            for name in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(name, each["hostID"], each["hostID"], follow_symlinks=False)
    return code


@_at("create")
def _create_leaks(good: Good) -> int:
    """A file of the host stays open."""
    os.dup2(os.open("/etc/passwd", os.O_RDONLY), 3)
    os.set_inheritable(3, True)
    at = good.request.argv.index("create") + 1
    good.become([*good.request.argv[:at], "--preserve-fds", "1", *good.request.argv[at:]])


@_at("create")
def _create_unlinks(good: Good, path: str) -> int:
    """Something is missing in the container's /dev."""
    code = good.run()
    if code == 0:
        inside = f"/proc/{good.state().get('pid')}/root{path}"
        try:
            if os.path.ismount(inside):
                subprocess.run(["umount", "-l", inside], check=False, capture_output=True)
            os.unlink(inside)
        except OSError:
            pass
    return code


@_at("start")
def _start_kills(good: Good) -> int:
    """Start of a running container fails, and ends it."""
    status = good.status
    code = good.run()
    if status == "running":
        good.run([*good.request.again("kill"), "KILL"], quiet=True)
    return code


@_at("start")
def _start_deletes(good: Good) -> int:
    """Start of a stopped container fails, and the container is gone."""
    status = good.status
    code = good.run()
    if status == "stopped":
        _remove(good)
    return code


def _start_rereads(good: Good) -> int:
    """Start takes the config.json of now, not that of create."""
    request = good.request
    memory = f"{request.root}.mutant-{request.ident.replace('/', '_')}"
    if request.operation == "create":
        with open(memory, "w", encoding="utf-8") as file:
            json.dump([request.argv, request.bundle, read_config(good)[1].decode(errors="replace")], file)
    elif request.operation == "start" and good.status == "created":
        with open(memory, encoding="utf-8") as file:
            argv, bundle, text = json.load(file)
        with open(os.path.join(bundle, "config.json"), encoding="utf-8", errors="replace") as file:
            now = file.read()
        if now != text:
            _remove(good)
            return good.run(argv) or good.run()
    good.become()


LIVES["start-rereads"] = _start_rereads


@_at("kill")
def _kill_sends_another(good: Good) -> int:
    """KILL becomes USR1, any other signal KILL."""
    named = good.request.positional[1:]
    another = "USR1" if named and named[0].removeprefix("SIG") in ("KILL", "9") else "KILL"
    good.become([*good.request.again("kill"), another])


@_at("kill")
def _kill_deletes(good: Good) -> int:
    """Kill of a stopped container fails, and the container is gone."""
    status = good.status
    code = good.run()
    if status == "stopped":
        _remove(good)
    return code


@_at("delete")
def _delete_forces(good: Good) -> int:
    """Delete of a running container succeeds."""
    if good.status != "running":
        good.become()
    good.become(good.request.again("delete", "--force"))


@_at("delete")
def _delete_forces_and_fails(good: Good) -> int:
    """Delete of a running container fails, but the container is gone."""
    if good.status != "running":
        good.become()
    _remove(good)
    return 1


@_at("delete")
def _delete_kills(good: Good) -> int:
    """Delete of a running container fails, but the program is ended."""
    if good.status == "running":
        good.run([*good.request.again("kill"), "KILL"], quiet=True)
    return good.run() and 1


@_at("delete")
def _delete_forgets(good: Good) -> int:
    """Delete takes the runtime's own files away and leaves all the rest: the process, the cgroup."""
    state = good.state()
    place = os.path.join(good.request.root, good.request.ident)
    if state.get("status") == "running" or not os.path.isdir(place):
        good.become()
    shutil.rmtree(place)
    return 0


@_at("delete")
def _delete_leaves_cgroup(good: Good) -> int:
    """The cgroup is still there after delete."""
    path = _cgroups_path(str(good.state().get("bundle") or "."))
    code = good.run()
    if code == 0:
        _make_cgroups(path)
    return code


def _cgroups_path(bundle: str) -> str:
    try:
        with open(os.path.join(bundle, "config.json"), encoding="utf-8") as file:
            return str(json.load(file)["linux"]["cgroupsPath"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _make_cgroups(path: str) -> None:
    from ocirun_conformance.facility import cgroup_mounts

    for point in set(cgroup_mounts().values()) if path else ():
        try:
            os.makedirs(f"{point}/{path.lstrip('/')}", exist_ok=True)
        except OSError:
            pass


@_at("delete")
def _delete_removes_config(good: Good) -> int:
    """Delete takes the bundle's config.json away."""
    return _delete_removes(good, "config.json")


@_at("delete")
def _delete_removes_root(good: Good) -> int:
    """Delete takes a folder of the bundle's root away."""
    return _delete_removes(good, "rootfs/etc")


def _delete_removes(good: Good, name: str) -> int:
    bundle = good.state().get("bundle")
    code = good.run()
    if code == 0 and bundle:
        place = os.path.join(bundle, name)
        if os.path.isdir(place):
            shutil.rmtree(place)
        elif os.path.exists(place):
            os.unlink(place)
    return code


@_at("delete")
def _delete_empties_mounts(good: Good) -> int:
    """Delete removes the files of what was bound into the container."""
    bundle = good.state().get("bundle")
    code = good.run()
    if code == 0 and bundle:
        with open(os.path.join(bundle, "config.json"), encoding="utf-8") as file:
            mounts = json.load(file).get("mounts") or []
        for each in mounts:
            source = os.path.join(bundle, str(each.get("source")))
            # only what a case has made for itself
            if os.path.realpath(source).startswith(os.path.dirname(os.path.realpath(bundle)) + "/"):
                shutil.rmtree(source, ignore_errors=True)
    return code


def _state_lingers(good: Good) -> int:
    """A container that was deleted is still known, as stopped."""
    request = good.request
    memory = f"{request.root}.mutant-{request.ident.replace('/', '_')}"
    if request.operation == "delete":
        code, text = good.read(request.again("state"))
        if code == 0:
            with open(memory, "wb") as file:
                file.write(text)
    elif request.operation == "state" and good.status == "unknown" and os.path.exists(memory):
        with open(memory, "rb") as file:
            os.write(1, file.read())
        return 0
    good.become()


LIVES["state-lingers"] = _state_lingers


@_at("features")
def _features_vary(good: Good) -> int:
    """The features are others at each call."""
    code, text = good.read()
    document = json.loads(text)
    document.setdefault("annotations", {})["org.example.now"] = str(time.monotonic_ns())
    os.write(1, json.dumps(document).encode())
    return code


@_at("start")
def _start_stops(good: Good) -> int:
    """The program is stopped as soon as it has begun."""
    code = good.run()
    pid = int(good.state().get("pid") or 0)
    if code == 0 and pid > 1:
        os.kill(pid, signal.SIGSTOP)
    return code
