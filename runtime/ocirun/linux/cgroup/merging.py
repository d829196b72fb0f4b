"""What an update asks for, laid over what the container has: pure, on objects of /linux/resources.

A value that says nothing is left out first: 0, as in every engine's update and in runc's, also for pids.limit, and an
empty string or list. But 0 is a value where it says something at `create` too: cpu.idle, cpu.burst, swappiness, rates
of block devices, huge pages, network priorities, RDMA. `devices` has an order, so it replaces the whole list.
Other lists are joined by what their entries are about, those of the update first: the index in a pointer is then the
index in what was asked.
"""

from __future__ import annotations

from ocirun.errors import Failure
from ocirun.linux.cgroup.limits import POINTER
from ocirun_spec import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.linux.cgroup.limits import Setting

    Resources = dict[str, Any]

_SWAPPINESS_UNSET: Final = (1 << 64) - 1
_ANY: Final = None
"""In the place of a value that says nothing: each one says something."""
_NOTHING: Final[dict[str, dict[str, int | str | None]]] = {
    "memory": {
        "limit": 0,
        "reservation": 0,
        "swap": 0,
        "kernel": 0,
        "kernelTCP": 0,
        "swappiness": _SWAPPINESS_UNSET,
        "disableOOMKiller": _ANY,
        "useHierarchy": _ANY,
        "checkBeforeUpdate": _ANY,
    },
    "cpu": {
        "shares": 0,
        "quota": 0,
        "burst": _ANY,
        "period": 0,
        "realtimeRuntime": 0,
        "realtimePeriod": 0,
        "cpus": "",
        "mems": "",
        "idle": _ANY,
    },
    "pids": {"limit": 0},
    "blockIO": {"weight": 0, "leafWeight": 0},
    "network": {"classID": 0},
}
_WEIGHTS: Final[dict[str, int | str | None]] = {"major": _ANY, "minor": _ANY, "weight": 0, "leafWeight": 0}
_DEVICE: Final = ("major", "minor")
_KEYED: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("blockIO", "weightDevice"): _DEVICE,
    ("blockIO", "throttleReadBpsDevice"): _DEVICE,
    ("blockIO", "throttleWriteBpsDevice"): _DEVICE,
    ("blockIO", "throttleReadIOPSDevice"): _DEVICE,
    ("blockIO", "throttleWriteIOPSDevice"): _DEVICE,
    ("network", "priorities"): ("name",),
}
"""Lists in members, and what their entries are about."""
_TOGETHER: Final = {"cpu/quota": "cpu/period", "memory/swap": "memory/limit"}
"""On cgroup v2 one file has both, or the one is computed from the other: who asks for the second writes the first."""


def effective(asked: Resources) -> Resources:
    """What of an accepted object says something; an empty dict asks for nothing."""
    found: Resources = {}
    for name, nothing in _NOTHING.items():
        member = _speaking(asked.get(name) or {}, nothing)
        for place, key in _KEYED:
            if place == name and (entries := (asked.get(name) or {}).get(key)):
                member[key] = [_speaking(each, _WEIGHTS) if key == "weightDevice" else dict(each) for each in entries]
        if member:
            found[name] = member
    for name in ("devices", "hugepageLimits", "rdma", "unified"):
        if asked.get(name):
            found[name] = asked[name]
    return found


def _speaking(member: Resources, nothing: dict[str, int | str | None]) -> Resources:
    return {
        key: value
        for key, value in member.items()
        if key in nothing and (nothing[key] is _ANY or value != nothing[key] or isinstance(value, bool))
    }


def merge(current: Resources, asked: Resources) -> Resources:
    """The container's resources after an effective update; neither argument is changed."""
    merged = dict(current)
    for name in _NOTHING:
        if name in asked:
            merged[name] = _merge_member(name, current.get(name) or {}, asked[name])
    if "devices" in asked:
        merged["devices"] = asked["devices"]
    if "hugepageLimits" in asked:
        merged["hugepageLimits"] = _join(current.get("hugepageLimits") or [], asked["hugepageLimits"], ("pageSize",))
    if "rdma" in asked:
        before = current.get("rdma") or {}
        merged["rdma"] = {**before, **{key: {**before.get(key, {}), **each} for key, each in asked["rdma"].items()}}
    if "unified" in asked:
        merged["unified"] = {**(current.get("unified") or {}), **asked["unified"]}
    return merged


def _merge_member(name: str, before: Resources, asked: Resources) -> Resources:
    merged = {**before, **asked}
    for (place, key), about in _KEYED.items():
        if place == name and key in asked:
            merged[key] = _join(before.get(key) or [], asked[key], about)
    if name == "memory" and asked.get("limit", 0) < 0 and "swap" not in asked:
        merged.pop("swap", None)  # no limit of memory plus swap can be kept above none of memory: as with runc
    return merged


def _join(before: list[Resources], asked: list[Resources], about: tuple[str, ...]) -> list[Resources]:
    """The asked entries, completed from those about the same, then the others of before."""

    def key(entry: Resources) -> tuple[object, ...]:
        return tuple(entry[name] for name in about)

    known = {key(entry): entry for entry in before}
    meant = {key(entry) for entry in asked}
    joined = [{**known.get(key(entry), {}), **entry} for entry in asked]
    return joined + [entry for entry in before if key(entry) not in meant]


def check(merged: Resources, asked: Resources) -> None:
    """Refuse an update that does not go together with what the container keeps; both are named."""
    memory, change = merged.get("memory") or {}, asked.get("memory") or {}
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if "limit" in change and "swap" not in change and 0 < swap < limit:
        said = f"the memory limit {limit} would be above the container's limit {swap} of memory plus swap"
        raise Failure(said, where=f"{POINTER}/memory/limit", hint="change the limit of memory plus swap with it")
    found: list[tuple[str, str]] = rules.check_resources(merged)
    for pointer, words in found:
        if not names(asked, pointer[1:]) and pointer == "/cpu/burst":
            raise Failure(f"the container's values do not fit: {words}", where=f"{POINTER}/cpu/quota")
        raise Failure(words, where=f"{POINTER}{pointer}")


def is_asked(setting: Setting, asked: Resources) -> bool:
    """Whether the update has a say in a setting of the merged resources."""
    pointer = setting.pointer.removeprefix(f"{POINTER}/")
    if names(asked, pointer) or names(asked, _TOGETHER.get(pointer, pointer)):
        return True
    # who takes the idle mark away gets the kernel's usual shares, not those of before
    return pointer == "cpu/shares" and (asked.get("cpu") or {}).get("idle") == 0


def names(resources: object, pointer: str) -> bool:
    """Whether the object has something at a pointer (without its first slash)."""
    place: Any = resources
    for token in pointer.split("/"):
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list):
            if not name.isdigit() or int(name) >= len(place):
                return False
            place = place[int(name)]
        elif isinstance(place, dict) and name in place:
            place = place[name]
        else:
            return False
    return True


def without_replaced(merged: Resources, asked: Resources, written: list[Setting]) -> None:
    """Drop from the kept `unified` what another asked member says now: the later word about a file counts."""
    files = {each.file for each in written if each.unified}
    kept = merged.get("unified") or {}
    merged_files = {name: text for name, text in kept.items() if name in asked.get("unified", {}) or name not in files}
    if len(merged_files) < len(kept):
        merged["unified"] = merged_files
