"""Numbers and bytes of a step's arguments, as the field writes them."""

from __future__ import annotations

import os
import stat

from ocirun.kernel import mount
from ocirun_spec.names import CAPABILITIES, NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from ocirun.steps import Step

_ATTRIBUTES: Final = {
    mount.MOUNT_ATTR_RDONLY: "RDONLY", mount.MOUNT_ATTR_NOSUID: "NOSUID", mount.MOUNT_ATTR_NODEV: "NODEV",
    mount.MOUNT_ATTR_NOEXEC: "NOEXEC", 0x10: "NOATIME", 0x20: "STRICTATIME", 0x80: "NODIRATIME",
    0x200000: "NOSYMFOLLOW",
}  # fmt: skip
_PROPAGATION: Final = {
    mount.MS_SHARED: "MS_SHARED", mount.MS_SLAVE: "MS_SLAVE", mount.MS_PRIVATE: "MS_PRIVATE",
    mount.MS_UNBINDABLE: "MS_UNBINDABLE",
}  # fmt: skip


def quoted(value: str | bytes) -> str:
    """A C string."""
    text = os.fsdecode(value).translate({ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n", ord("\t"): "\\t"})
    return f'"{text}"'


def sequence(values: Iterable[str | bytes]) -> str:
    """A list of C strings."""
    return f"[{', '.join(quoted(value) for value in values)}]"


def strings(values: Sequence[str | bytes]) -> list[str]:
    """Each of them as text."""
    return [os.fsdecode(value) for value in values]


def attributes(mask: int) -> str:
    """MOUNT_ATTR_* of a mask; 0 without any, and the access times' whole field by its own name."""
    if mask & mount.MOUNT_ATTR__ATIME == mount.MOUNT_ATTR__ATIME:
        rest = attributes(mask & ~mount.MOUNT_ATTR__ATIME)
        return "MOUNT_ATTR__ATIME" + (f"|{rest}" if rest != "0" else "")
    return "|".join(f"MOUNT_ATTR_{name}" for bit, name in _ATTRIBUTES.items() if mask & bit) or "0"


def propagation(flag: int) -> str:
    """MS_SHARED and the like."""
    return _PROPAGATION.get(flag, hex(flag))


def namespaces(flags: int) -> str:
    """CLONE_NEW* of a mask."""
    names = {"mount": "NS", "network": "NET", "uts": "UTS", "ipc": "IPC"}
    found = [names.get(kind, kind.upper()) for kind, (flag, _file) in NAMESPACES.items() if flags & flag]
    return "|".join(f"CLONE_NEW{name}" for name in found) or "0"


def capability_names(numbers: Iterable[int]) -> str:
    """CAP_* joined by ``|``, in the kernel's order; 0 without any."""
    names = {number: name for name, number in CAPABILITIES.items()}
    return "|".join(names.get(number, str(number)) for number in sorted(numbers)) or "0"


def device(mode: int, number: int) -> str:
    """``S_IFCHR|0666, makedev(1, 3)``."""
    kind = {stat.S_IFCHR: "S_IFCHR", stat.S_IFBLK: "S_IFBLK", stat.S_IFIFO: "S_IFIFO"}[stat.S_IFMT(mode)]
    permissions = f"|{stat.S_IMODE(mode):04o}" if stat.S_IMODE(mode) else ""
    return f"{kind}{permissions}, makedev({os.major(number)}, {os.minor(number)})"


def sentence(step: Step) -> str:
    """What a step does: its text begins an error's sentence, which for hooks and the program names no deed."""
    if step.room == "lifecycle" and step.deed == "run_hook":
        return f"run the hook {step.args[0]['path']}"
    if step.room == "program" and step.deed == "find":
        return f"find the program {os.fsdecode(step.args[0].argv[0])}"
    if step.room == "program" and step.deed == "execute":
        return f"execute {os.fsdecode(step.args[0].argv[0])}"
    return step.text
