"""The seccomp filter of the container's program, `linux.seccomp` (config-linux.md, Seccomp; seccomp(2)).

Rules:

* Compiling belongs to `compile`, which is cold and runs in a child of its own; what it made is kept in the `cache`,
  so that the hot path reads one small file. The compiled program depends on the profile alone, never on its pointer.
* Everything that the kernel call needs, the struct with the pointer included, is made before the clone: the container
  side makes one system call. The clone copies the memory, so an address taken before it holds after it.
* A profile with SCMP_ACT_NOTIFY belongs to `notify`; nobody else pays for its import.
* The filter can be loaded without no_new_privs only with CAP_SYS_ADMIN, and every system call after it is filtered:
  the lead's order decides what comes later.
"""

from __future__ import annotations

import sys

from ocirun import log
from ocirun.errors import Failure
from ocirun.kernel import raw
from ocirun.linux.seccomp import cache
from ocirun.steps import InsideStep, OutsideStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.parent import Host
    from ocirun.scene import Scene

SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_FILTER_FLAG_TSYNC: Final = 1 << 0
SECCOMP_FILTER_FLAG_LOG: Final = 1 << 1
SECCOMP_FILTER_FLAG_SPEC_ALLOW: Final = 1 << 2
SECCOMP_FILTER_FLAG_NEW_LISTENER: Final = 1 << 3
SECCOMP_FILTER_FLAG_TSYNC_ESRCH: Final = 1 << 4
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: Final = 1 << 5

FLAGS: Final = {
    # With ESRCH, because a bare TSYNC reports its failure as a positive number.
    "SECCOMP_FILTER_FLAG_TSYNC": SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    "SECCOMP_FILTER_FLAG_LOG": SECCOMP_FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    # It says how a notification is waited for: `plan` leaves it out of a filter that notifies nobody (EINVAL).
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
}
"""The spec's names and what is given to seccomp(2) for each."""

NOTIFY: Final = "SCMP_ACT_NOTIFY"
SIZE_OF_FILTER: Final = 8
"""sizeof(struct sock_filter), linux/filter.h."""
_POINTER: Final = 8 if sys.maxsize > 1 << 32 else 4
_BYTES_HEADER: Final = bytes.__basicsize__ - 1


def plan(profile: dict[str, Any], pointer: str, cache_dir: str) -> tuple[OutsideStep, InsideStep]:
    """The two steps of one profile; `pointer` is where it stands in the config, `cache_dir` an absolute path.

    The inside step's `args` are empty until `provide` has filled them with (flags, struct sock_fprog, program, the
    secret of `notify` or 0). Refuses flags that nobody knows; the rest of the profile is judged when compiled.
    """
    flags = _flags(profile, pointer)
    count = len(profile.get("syscalls") or ())
    default = profile.get("defaultAction")
    text = f"load the seccomp filter: {default} and {count} rules"
    if flags & SECCOMP_FILTER_FLAG_NEW_LISTENER:
        from ocirun.linux.seccomp import notify

        inside = notify.step(pointer, text)
    else:
        inside = InsideStep(load, pointer, text)
    outside = OutsideStep(provide, pointer, "compile the seccomp filter", profile, cache_dir, flags, inside)
    return outside, inside


def provide(step: OutsideStep, _host: Host) -> None:
    """Take the program out of the cache, or compile it, and hand it to the inside step."""
    profile, cache_dir, flags, inside = step.args
    digest = cache.key(profile)
    program = cache.take(cache_dir, digest)
    if program is None:
        # Imported here because a start that finds its program in the cache does without.
        from ocirun.linux.seccomp import build

        program = build.build(profile, step.pointer, cache_dir, digest)
    log.debug(f"seccomp filter flags: {flags}")
    secret = 0
    if flags & SECCOMP_FILTER_FLAG_NEW_LISTENER:
        from ocirun.linux.seccomp import notify

        program, secret = notify.with_door(program, step.pointer)
    inside.args = (flags, sock_fprog(program), program, secret)


def load(step: InsideStep, _scene: Scene) -> None:
    """seccomp(2), SECCOMP_SET_MODE_FILTER."""
    raw.call("seccomp", raw.SECCOMP, SECCOMP_SET_MODE_FILTER, step.args[0], step.args[1])


def sock_fprog(program: bytes) -> bytes:
    """struct sock_fprog (linux/filter.h): the number of instructions, padding, and the address of the first.

    The caller keeps `program` alive for as long as the struct is used. The address is that of the object's content:
    CPython's id() is the address of an object, and the content of a bytes object ends it, followed by one NUL byte,
    which is what its basic size counts.
    """
    count = (len(program) // SIZE_OF_FILTER).to_bytes(2, sys.byteorder)
    address = id(program) + _BYTES_HEADER
    return count + bytes(_POINTER - 2) + address.to_bytes(_POINTER, sys.byteorder)


def notifies(profile: dict[str, Any]) -> bool:
    """Whether anything asks the listener; otherwise listenerPath and listenerMetadata are ignored, as the spec says."""
    rules = profile.get("syscalls") or ()
    return profile["defaultAction"] == NOTIFY or any(rule["action"] == NOTIFY for rule in rules)


def _flags(profile: dict[str, Any], pointer: str) -> int:
    """The flags of seccomp(2). Without the property SPEC_ALLOW, as runc and crun do; with an empty list none."""
    listens = SECCOMP_FILTER_FLAG_NEW_LISTENER if notifies(profile) else 0
    names = profile.get("flags")
    if names is None:
        return SECCOMP_FILTER_FLAG_SPEC_ALLOW | listens
    flags = listens
    for index, name in enumerate(names):
        if name not in FLAGS:
            raise Failure(f"unknown seccomp flag {name}", where=f"{pointer}/flags/{index}")
        flags |= FLAGS[name]
    return flags if listens else flags & ~SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
