"""The scheduling family: sched_setattr(2), sched_setaffinity(2), ioprio_set(2), set_mempolicy(2), personality(2).

Constants are those of linux/sched.h, linux/sched/types.h, linux/ioprio.h, linux/mempolicy.h and linux/personality.h.
Loaded only for a config that asks for one of these.
"""

from __future__ import annotations

from ocirun.kernel import raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SCHED_OTHER: Final = 0
SCHED_FIFO: Final = 1
SCHED_RR: Final = 2
SCHED_BATCH: Final = 3
SCHED_ISO: Final = 4
SCHED_IDLE: Final = 5
SCHED_DEADLINE: Final = 6
SCHED_FLAG_RESET_ON_FORK: Final = 0x01
SCHED_FLAG_RECLAIM: Final = 0x02
SCHED_FLAG_DL_OVERRUN: Final = 0x04
SCHED_FLAG_KEEP_POLICY: Final = 0x08
SCHED_FLAG_KEEP_PARAMS: Final = 0x10
SCHED_FLAG_UTIL_CLAMP_MIN: Final = 0x20
SCHED_FLAG_UTIL_CLAMP_MAX: Final = 0x40
SCHED_CAPACITY_SCALE: Final = 1024
SCHED_ATTR_SIZE_VER1: Final = 56

IOPRIO_CLASS_RT: Final = 1
IOPRIO_CLASS_BE: Final = 2
IOPRIO_CLASS_IDLE: Final = 3
IOPRIO_CLASS_SHIFT: Final = 13
IOPRIO_WHO_PROCESS: Final = 1
IOPRIO_WHO_PGRP: Final = 2

MPOL_DEFAULT: Final = 0
MPOL_PREFERRED: Final = 1
MPOL_BIND: Final = 2
MPOL_INTERLEAVE: Final = 3
MPOL_LOCAL: Final = 4
MPOL_PREFERRED_MANY: Final = 5
MPOL_WEIGHTED_INTERLEAVE: Final = 6
MPOL_F_STATIC_NODES: Final = 1 << 15
MPOL_F_RELATIVE_NODES: Final = 1 << 14
MPOL_F_NUMA_BALANCING: Final = 1 << 13

PER_LINUX: Final = 0x0000
PER_LINUX32: Final = 0x0008

_WORD: Final = 8
_LARGEST_MASK: Final = 1024
"""Bytes of the longest cpumask that a kernel can be built for (NR_CPUS 8192); node masks are shorter."""


def sched_attr(policy: int, flags: int, nice: int, priority: int, budget: tuple[int, int, int]) -> bytes:
    """struct sched_attr with the utilization clamps; `budget` is runtime, deadline, period in nanoseconds."""
    return b"".join(
        [
            SCHED_ATTR_SIZE_VER1.to_bytes(4, "little"),
            policy.to_bytes(4, "little"),
            flags.to_bytes(8, "little"),
            nice.to_bytes(4, "little", signed=True),
            priority.to_bytes(4, "little"),
            *(each.to_bytes(8, "little") for each in budget),
            (0).to_bytes(4, "little"),
            SCHED_CAPACITY_SCALE.to_bytes(4, "little"),
        ]
    )


def sched_setattr(pid: int, attributes: bytes) -> None:
    """sched_setattr(2); pid 0 is oneself."""
    raw.call("sched_setattr", raw.SCHED_SETATTR, pid, attributes, 0)


def sched_setaffinity(mask: bytes) -> None:
    """sched_setaffinity(2) on oneself; `mask` as `list_mask` makes it."""
    raw.call("sched_setaffinity", raw.SCHED_SETAFFINITY, 0, len(mask), mask)


def sched_getaffinity() -> bytes:
    """One's own mask, in whole words."""
    mask = bytearray(_LARGEST_MASK)
    return bytes(mask[: raw.call("sched_getaffinity", raw.SCHED_GETAFFINITY, 0, len(mask), mask)])


def ioprio_set(which: int, who: int, value: int) -> None:
    """ioprio_set(2); `value` is class << IOPRIO_CLASS_SHIFT | priority."""
    raw.call("ioprio_set", raw.IOPRIO_SET, which, who, value)


def set_mempolicy(mode: int, mask: bytes) -> None:
    """set_mempolicy(2); the kernel reads one bit less than it is told of."""
    raw.call("set_mempolicy", raw.SET_MEMPOLICY, mode, mask or None, len(mask) * 8 + 1 if mask else 0)


def personality(persona: int) -> None:
    """personality(2)."""
    raw.call("personality", raw.PERSONALITY, persona)


def list_mask(text: str, what: str) -> bytes:
    """The bit mask of a list such as ``0-3,7``, in whole words; empty for an empty list.

    The syntax is cpuset(7)'s list format, with spaces allowed around numbers and commas, as the kernel allows them.
    ValueError in words; `what` is what the numbers count.
    """
    bits = 0
    for part in text.split(","):
        if not part.strip():
            if text.strip():
                raise ValueError(f"{text!r} has an empty element")
            continue
        first, dash, last = (each.strip() for each in part.partition("-"))
        low = _number(first, text, what)
        high = _number(last, text, what) if dash else low
        if low > high:
            raise ValueError(f"the range {part.strip()} ends before it begins")
        bits |= (1 << high + 1) - (1 << low)
    words = -(-bits.bit_length() // (8 * _WORD))
    return bits.to_bytes(words * _WORD, "little")


def _number(text: str, whole: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{whole!r} is not a list such as 0-3,7")
    if len(text) > 5 or int(text) >= _LARGEST_MASK * 8:
        raise ValueError(f"no {what} has the number {text}")
    return int(text)
