"""What a config names on the host: the root filesystem, what is bound, hooks, network devices."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ocirun.checks.subject import Finding
from ocirun.errors import words
from ocirun.linux.mounts.wish import Wish
from ocirun_spec.problem import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun.checks.subject import Subject

_OF_THE_HOST = ("prestart", "createRuntime", "poststart", "poststop", "createContainer")
"""Hooks whose program is the host's: createContainer hooks see its tree too, from the container's namespaces."""


def root(subject: Subject) -> Iterator[Finding]:
    """/root/path is a directory and no link."""
    path = subject.rootfs
    if not path:
        return
    try:
        mode = os.lstat(path).st_mode
    except OSError as problem:
        hint = near(path) or "unpack an image there, or name the directory where it is"
        yield Finding("/root/path", f"the root filesystem {path}: {words(problem.errno or 0)}", hint)
        return
    if stat.S_ISLNK(mode):
        hint = f"name the directory that it leads to: {os.path.realpath(path)}"
        yield Finding("/root/path", f"the root filesystem {path} is a symbolic link", hint)
    elif not stat.S_ISDIR(mode):
        yield Finding("/root/path", f"the root filesystem {path} is not a directory", "unpack it into a directory")


def bound(subject: Subject) -> Iterator[Finding]:
    """The sources of bind mounts exist."""
    for at, entry in enumerate(subject.mounts):
        wish = Wish(entry)
        if not wish.bind or wish.remount or not entry.get("source"):
            continue
        path = os.path.join(subject.bundle, entry["source"])
        try:
            os.stat(path)
        except OSError as problem:
            message = f"the source {path}: {words(problem.errno or 0)}"
            yield Finding(f"/mounts/{at}/source", message, near(path) or f"make {path} first")


def hooks(subject: Subject) -> Iterator[Finding]:
    """The host's hooks are programs."""
    configured = subject.config.get("hooks") or {}
    for kind in _OF_THE_HOST:
        for at, hook in enumerate(configured.get(kind) or ()):
            path, pointer = hook["path"], f"/hooks/{kind}/{at}/path"
            try:
                mode = os.stat(path).st_mode
            except OSError as problem:
                yield Finding(pointer, f"the hook {path}: {words(problem.errno or 0)}", near(path))
                continue
            if not stat.S_ISREG(mode) or not mode & 0o111:
                yield Finding(pointer, f"the hook {path} is not executable: permission denied", f"chmod +x {path}")


def devices(subject: Subject) -> Iterator[Finding]:
    """Network devices that shall move are there. Those of a user namespace's owner may be elsewhere."""
    here = os.listdir("/sys/class/net") if os.path.isdir("/sys/class/net") else []
    for name in subject.linux.get("netDevices") or () if here else ():
        if name not in here:
            pointer = f"/linux/netDevices/{name.replace('~', '~0').replace('/', '~1')}"
            hint = did_you_mean(name, here) or f"this host has {', '.join(sorted(here))}"
            yield Finding(pointer, f"the network device {name}: no such device", hint)


def near(path: str) -> str:
    """A hint for a path that does not exist: where it breaks off, and what is there instead."""
    above = os.path.normpath(path)
    while not os.path.lexists(above) and above != "/":
        missing, above = above, os.path.dirname(above)
    if above == os.path.normpath(path):
        return f"{above} is a link that leads nowhere" if os.path.islink(above) else ""
    try:
        near = did_you_mean(os.path.basename(missing), os.listdir(above))
    except OSError:
        return ""
    if near:
        return f"did you mean {os.path.join(above, near.removeprefix('did you mean ').removesuffix('?'))}?"
    return f"{above} has no {os.path.basename(missing)}" if above != os.path.dirname(os.path.normpath(path)) else ""
