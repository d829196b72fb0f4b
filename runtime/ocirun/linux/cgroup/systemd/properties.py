"""Limits as properties of a unit: what systemd has to know, so that it does not set something else later.

systemd writes all the files of a controller whenever it applies one of its properties, and all of them after
``systemctl daemon-reload``. So what it has a property for is told to it, in the units and names of its D-Bus interface
(org.freedesktop.systemd1(5)), and then the files are written nevertheless: some values cannot be said as a property.
The properties are made from the same settings that are written, so that both say the same.
"""

from __future__ import annotations

from ocirun.linux.cgroup.devices_v1 import ANY, fold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.linux.cgroup.devices_v1 import Rule
    from ocirun.linux.cgroup.limits import Setting

    Property = tuple[str, tuple[str, Any]]

INFINITY: Final = (1 << 64) - 1
"""UINT64_MAX: no limit."""
TASKS_MAX: Final = "TasksMax"
_NUMBERS: Final = {
    "memory.max": "MemoryMax",
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax",
    "memory.limit_in_bytes": "MemoryLimit",
    "cpu.weight": "CPUWeight",
    "cpu.shares": "CPUShares",
    "io.weight": "IOWeight",
    "blkio.weight": "BlockIOWeight",
    "pids.max": TASKS_MAX,
}
_SETS: Final = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
_LARGEST: Final = 1 << 16
_IDLE: Final = 0
"""CPUWeight of an idle cgroup (CGROUP_WEIGHT_IDLE of systemd 252)."""
_USUAL_PERIOD: Final = 100_000
_SECOND: Final = 1_000_000
_PERCENT: Final = _SECOND // 100


def of(settings: list[Setting]) -> list[Property]:
    """The properties that say what `settings` say, where there are such."""
    files = {
        file: value
        for each in settings
        for file, value in ((each.file, each.value), each.instead or ("", ""))
        if file not in _NUMBERS or _is_number(value)  # not what is about one device
    }
    found: list[Property] = []
    for file, value in files.items():
        if file in _NUMBERS:
            found.append((_NUMBERS[file], ("t", INFINITY if value == "max" or int(value) < 0 else int(value))))
        elif file in _SETS and (bits := mask(value)):
            found.append((_SETS[file], ("ay", bits)))
    if files.get("cpu.idle") == "1":
        found = [each for each in found if each[0] != "CPUWeight"] + [("CPUWeight", ("t", _IDLE))]
    return found + _quota(files)


def unset(given: Property) -> Property:
    """The same property as it is when nobody sets it."""
    name, (kind, _value) = given
    if kind == "ay":
        return name, (kind, b"")
    return name, (kind, 0 if name in ("MemoryLow", "MemoryMin") else INFINITY)


def _is_number(value: str) -> bool:
    return value == "max" or value.lstrip("-").isdigit()


def _quota(files: dict[str, str]) -> list[Property]:
    """cpu.max, or the two files of v1: microseconds a period there, microseconds a second here.

    Rounded up to whole percents, which is what systemd itself writes: a lower value would keep the container's cgroup
    from getting the exact one.
    """
    if "cpu.max" in files:
        quota, _, period = files["cpu.max"].partition(" ")
    else:
        quota, period = files.get("cpu.cfs_quota_us", ""), files.get("cpu.cfs_period_us", "")
    found: list[Property] = []
    if period:
        found.append(("CPUQuotaPeriodUSec", ("t", int(period))))
    if quota == "max" or quota.startswith("-"):
        found.append(("CPUQuotaPerSecUSec", ("t", INFINITY)))
    elif quota:
        per_second = int(quota) * _SECOND // int(period or _USUAL_PERIOD)
        found.append(("CPUQuotaPerSecUSec", ("t", -(-per_second // _PERCENT) * _PERCENT)))
    return found


def mask(listed: str) -> bytes:
    """``0-2,8`` as a set of bits, the lowest number first; empty for what no kernel takes, which will say so."""
    bits = 0
    for part in listed.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        numbers = [first, last] if dash else [first]
        if not all(each.isascii() and each.isdigit() and int(each) <= _LARGEST for each in numbers):
            return b""
        for number in range(int(first), int(numbers[-1]) + 1):
            bits |= 1 << number
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def devices(rules: list[Rule], names: dict[tuple[str, int], str]) -> list[Property]:
    """DevicePolicy and DeviceAllow, for cgroup v1 alone.

    SECURITY: there systemd writes ``devices.allow a`` for a unit without a policy, also after a daemon-reload. On
    cgroup v2 it adds a program of its own to ours, and both must allow.

    names: of major numbers in /proc/devices, by (kind, major). What has no name there, or only a minor number, systemd
    cannot be told: it is denied until the runtime writes it.
    """
    allowed, exceptions = fold(rules)
    if allowed:
        return [("DevicePolicy", ("s", "auto"))]
    entries = []
    for (kind, major, minor), access in exceptions.items():
        family = {"b": "block", "c": "char"}[kind]
        if major == minor == ANY:
            entries.append((f"{family}-*", access))
        elif minor == ANY and (kind, major) in names:
            entries.append((f"{family}-{names[kind, major]}", access))
        elif ANY not in (major, minor):
            entries.append((f"/dev/{family}/{major}:{minor}", access))
    return [("DevicePolicy", ("s", "strict")), ("DeviceAllow", ("a(ss)", entries))]


def device_names(text: str) -> dict[tuple[str, int], str]:
    """/proc/devices: two headed lists of ``major name`` (proc(5))."""
    found: dict[tuple[str, int], str] = {}
    kind = ""
    for line in text.splitlines():
        number, _, name = line.strip().partition(" ")
        if number in ("Character", "Block"):
            kind = number[0].lower()
        elif number.isdigit():
            found[kind, int(number)] = name
    return found
