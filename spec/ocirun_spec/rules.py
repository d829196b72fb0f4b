"""What a schema cannot say: rules between the fields of a config. Hot, pure, and only for what `accept` accepted.

Each rule is a small generator of (JSON pointer, message) for what it finds wrong; `RULES` lists them in the order of
the document. A rule stands for a sentence of config.md or config-linux.md, or for a refusal of the kernel that can be
seen from the config alone. Whether the host can do what is asked is not decided here.
"""

from __future__ import annotations

from . import version
from .names import RLIMITS
from .seccomp_rules import seccomp_actions, seccomp_notify
from .sysctl_rules import sysctl_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Config = dict[str, Any]
    Finding = tuple[str, str]
    Rule = Callable[[Config], Iterator[Finding]]

_UINT32_END = 1 << 32
_MOST_MAPPINGS = 340  # UID_GID_MAP_MAX_EXTENTS of linux/user_namespace.h, since Linux 4.15
_NO_ID = _UINT32_END - 1
_DEVICE_NUMBERS = (("major", 0xFFF), ("minor", 0xFFFFF))  # MINORBITS of linux/kdev_t.h; mknod(2) drops what is above
_TERMINAL_SIZE_MAX = 65535  # struct winsize has unsigned shorts (ioctl_tty(2))
_SWAPPINESS_UNSET = (1 << 64) - 1  # what -1 became in configs of older engines
_RESOURCES = "/linux/resources"
_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def check(config: Config) -> list[Finding]:
    """Everything that the rules have against a config, as (JSON pointer, message); an empty list if nothing."""
    return [finding for rule in RULES for finding in rule(config)]


def check_process(process: Config) -> list[Finding]:
    """The same for a process object on its own, with pointers that start at that object."""
    config = {"process": process}
    return [(place.removeprefix("/process"), words) for rule in PROCESS_RULES for place, words in rule(config)]


def check_resources(resources: Config) -> list[Finding]:
    """The same for a /linux/resources object on its own, with pointers that start at that object."""
    config = {"linux": {"resources": resources}}
    return [(place.removeprefix(_RESOURCES), words) for rule in RESOURCE_RULES for place, words in rule(config)]


def oci_version(config: Config) -> Iterator[Finding]:
    """ociVersion is a version, of the major release that this package describes (config.md, Specification version)."""
    text = config["ociVersion"]
    parsed = version.parse(text)
    if parsed is None:
        yield "/ociVersion", f'"{text}" is not a version of the form 1.2.3 (SemVer 2.0.0)'
    elif parsed[0] != 1:
        yield "/ociVersion", f"the config is made for version {parsed[0]} of the specification, only 1.x is supported"


def root_path(config: Config) -> Iterator[Finding]:
    """Linux needs a root with a path (config.md, Root)."""
    root = config.get("root")
    if root is None:
        yield "/root", "a container on Linux needs a root filesystem"
    elif not root["path"]:
        yield "/root/path", "the path of the root filesystem is empty"


def process_command(config: Config) -> Iterator[Finding]:
    """A process has an absolute cwd and at least one argument (config.md, Process)."""
    process = config.get("process")
    if process is None:
        return
    if not process["cwd"].startswith("/"):
        yield "/process/cwd", f'the working directory "{process["cwd"]}" is not an absolute path'
    if not process.get("args"):
        yield "/process/args", "the process has no program to execute"


def process_environment(config: Config) -> Iterator[Finding]:
    """Variables have a name and no NUL; one without `=` has an empty value (config.md, Process)."""
    for index, entry in enumerate(config.get("process", {}).get("env", ())):
        if not entry or entry[0] == "=":
            yield f"/process/env/{index}", f'the variable "{entry}" has no name'
        elif "\0" in entry:
            yield f"/process/env/{index}", "the variable holds a NUL character"


def process_terminal(config: Config) -> Iterator[Finding]:
    """A terminal's size fits in struct winsize; without a terminal consoleSize is ignored (config.md, Process)."""
    process = config.get("process", {})
    if not process.get("terminal"):
        return
    for side, size in process.get("consoleSize", {}).items():
        if side in ("height", "width") and size > _TERMINAL_SIZE_MAX:
            yield f"/process/consoleSize/{side}", f"a terminal has at most {_TERMINAL_SIZE_MAX} rows and columns"


def process_user(config: Config) -> Iterator[Finding]:
    """Ids are ids, and a umask has permission bits only (config.md, POSIX-platform User).

    For setresuid(2) the largest number means "leave it as it is": the program would silently stay root.
    """
    user = config.get("process", {}).get("user", {})
    for name in ("uid", "gid"):
        if user.get(name) == _NO_ID:
            yield f"/process/user/{name}", f"{_NO_ID} is not an id, it stands for none"
    for index, gid in enumerate(user.get("additionalGids", ())):
        if gid == _NO_ID:
            yield f"/process/user/additionalGids/{index}", f"{_NO_ID} is not an id, it stands for none"
    if user.get("umask", 0) > 0o777:
        yield "/process/user/umask", f"the umask {user['umask']:#o} has more than the nine permission bits"


def process_rlimits(config: Config) -> Iterator[Finding]:
    """Resource limits are known, unique, and not above their ceiling (config.md, POSIX process)."""
    seen: set[str] = set()
    for index, limit in enumerate(config.get("process", {}).get("rlimits", ())):
        name = limit["type"]
        place = f"/process/rlimits/{index}"
        if name not in RLIMITS:
            yield place + "/type", f'the resource limit "{name}" is unknown'
        elif name in seen:
            yield place + "/type", f"{name} is given twice"
        elif limit["soft"] > limit["hard"]:
            yield place + "/soft", f"the soft limit {limit['soft']} of {name} is above the hard limit {limit['hard']}"
        seen.add(name)


def hostname_namespace(config: Config) -> Iterator[Finding]:
    """Names of the host are changed only in a uts namespace of the container's (config.md, Hostname)."""
    if "uts" in _namespaces(config):
        return
    for name in ("hostname", "domainname"):
        if config.get(name):
            yield "/" + name, f"the {name} of the host would change because there is no uts namespace"


def mounts(config: Config) -> Iterator[Finding]:
    """A mount has a destination, and its idmapping can be known (config.md, Mounts)."""
    for index, mount in enumerate(config.get("mounts", ())):
        place = f"/mounts/{index}"
        if not mount["destination"]:
            yield place + "/destination", "the mount has no destination"
        yield from _mount_idmap(config, mount, place)


def _mount_idmap(config: Config, mount: Config, place: str) -> Iterator[Finding]:
    uids, gids = mount.get("uidMappings"), mount.get("gidMappings")
    if uids or gids:
        if not gids:
            yield place + "/gidMappings", "uidMappings of a mount need gidMappings as well"
        elif not uids:
            yield place + "/uidMappings", "gidMappings of a mount need uidMappings as well"
        else:
            yield from _mapping_findings(uids, place + "/uidMappings")
            yield from _mapping_findings(gids, place + "/gidMappings")
        return
    options = mount.get("options", ())
    for name in ("idmap", "ridmap"):
        if name in options and "user" not in _namespaces(config):
            place = f"{place}/options/{options.index(name)}"
            yield place, f'the option "{name}" needs mappings of the mount or a user namespace'


def hooks(config: Config) -> Iterator[Finding]:
    """The path of a hook is absolute, and its variables have a name (config.md, POSIX-platform Hooks)."""
    for kind in _HOOKS:
        for index, hook in enumerate(config.get("hooks", {}).get(kind, ())):
            place = f"/hooks/{kind}/{index}"
            if not hook["path"].startswith("/"):
                yield place + "/path", f'the path "{hook["path"]}" of the hook is not absolute'
            for at, entry in enumerate(hook.get("env", ())):
                if not entry or entry[0] == "=":
                    yield f"{place}/env/{at}", f'the variable "{entry}" has no name'


def annotation_keys(config: Config) -> Iterator[Finding]:
    """The key of an annotation is not empty (config.md, Annotations)."""
    if "" in config.get("annotations", ()):
        yield "/annotations/", "the key of an annotation is empty"


def namespaces(config: Config) -> Iterator[Finding]:
    """Namespaces are unique, and joined by absolute path (config-linux.md, Namespaces)."""
    seen: set[str] = set()
    for index, namespace in enumerate(_linux(config).get("namespaces", ())):
        place = f"/linux/namespaces/{index}"
        kind = namespace["type"]
        if kind in seen:
            yield place + "/type", f"the {kind} namespace is given twice"
        seen.add(kind)
        path = namespace.get("path")
        if path is not None and not path.startswith("/"):
            yield place + "/path", f'the path "{path}" of the {kind} namespace is not absolute'


def user_namespace(config: Config) -> Iterator[Finding]:
    """Mappings are there exactly when a new user namespace is (config-linux.md, User namespace mappings)."""
    linux = _linux(config)
    known = _namespaces(config)
    joined = bool(known.get("user"))
    for name in ("uidMappings", "gidMappings"):
        mappings = linux.get(name)
        place = f"/linux/{name}"
        if not mappings:
            if "user" in known and not joined:
                yield place, f"a new user namespace needs {name}"
        elif "user" not in known:
            yield place, f"{name} need a user namespace"
        elif joined:
            yield place, f"a user namespace that is joined has its {name} already"
        else:
            yield from _mapping_findings(mappings, place)


def _mapping_findings(mappings: list[Config], place: str) -> Iterator[Finding]:
    """What map_write() in the kernel's user_namespace.c refuses: empty, overflowing, overlapping ranges, too many."""
    if len(mappings) > _MOST_MAPPINGS:
        yield place, f"a map has {_MOST_MAPPINGS} mappings at most, and these are {len(mappings)}"
        return
    for index, mapping in enumerate(mappings):
        size = mapping["size"]
        if size == 0:
            yield f"{place}/{index}/size", "the mapping has no ids"
        for side in ("containerID", "hostID"):
            first = mapping[side]
            if first + size > _UINT32_END:
                yield f"{place}/{index}/{side}", f"{size} ids from {first} on exceed the 32 bits of an id"
            for other in mappings[:index]:
                if first < other[side] + other["size"] and other[side] < first + size:
                    yield f"{place}/{index}/{side}", f"the {side} range overlaps that of an earlier mapping"
                    break


def time_offsets(config: Config) -> Iterator[Finding]:
    """Offsets are for clocks of a new time namespace (time_namespaces(7))."""
    offsets = _linux(config).get("timeOffsets")
    if not offsets:
        return
    known = _namespaces(config)
    if "time" not in known:
        yield "/linux/timeOffsets", "timeOffsets need a time namespace"
    elif known["time"]:
        yield "/linux/timeOffsets", "a time namespace that is joined has its offsets already"
    for clock in offsets:
        if clock not in ("monotonic", "boottime"):
            yield f"/linux/timeOffsets/{_token(clock)}", f'the clock "{clock}" is neither monotonic nor boottime'


def devices(config: Config) -> Iterator[Finding]:
    """A device has an absolute path of its own and, unless it is a pipe, its numbers (config-linux.md, Devices)."""
    seen: dict[str, tuple[object, ...]] = {}
    for index, device in enumerate(_linux(config).get("devices", ())):
        place = f"/linux/devices/{index}"
        path = device["path"]
        if not path.startswith("/"):
            yield place + "/path", f'the path "{path}" of the device is not absolute'
        kind = device["type"]
        identity = (kind, device.get("major"), device.get("minor")) if kind != "p" else (kind,)
        if seen.setdefault(path, identity) != identity:
            yield place + "/path", f"another device has the path {path} already"
        if kind == "p":
            continue
        for name, most in _DEVICE_NUMBERS:
            number = device.get(name)
            if number is None:
                yield f"{place}/{name}", f"a device of type {kind} needs its {name} number"
            elif number < 0:
                yield f"{place}/{name}", f"the {name} number of a device is not negative"
            elif number > most:
                yield f"{place}/{name}", f"the {name} number of a device is {most} at most"


def protected_paths(config: Config) -> Iterator[Finding]:
    """Masked and read-only paths are absolute, and not those of the host (config-linux.md, Masked Paths)."""
    linux = _linux(config)
    for name in ("maskedPaths", "readonlyPaths"):
        paths = linux.get(name)
        if paths and "mount" not in _namespaces(config):
            yield f"/linux/{name}", f"{name} would apply to the host because there is no mount namespace"
        for index, path in enumerate(paths or ()):
            if not path.startswith("/"):
                yield f"/linux/{name}/{index}", f'the path "{path}" is not absolute'


def cgroups_path(config: Config) -> Iterator[Finding]:
    """cgroupsPath stays below the place that it is relative to (config-linux.md, Cgroups Path)."""
    path = _linux(config).get("cgroupsPath", "")
    if ".." in path.split("/"):
        yield "/linux/cgroupsPath", f'the path "{path}" leaves the place it starts from'


def memory(config: Config) -> Iterator[Finding]:
    """The values of swappiness are from 0 to 100 (config-linux.md, Memory)."""
    swappiness = _resources(config).get("memory", {}).get("swappiness", 0)
    if swappiness > 100 and swappiness != _SWAPPINESS_UNSET:
        yield "/linux/resources/memory/swappiness", f"the swappiness {swappiness} is not between 0 and 100"


def cpu_burst(config: Config) -> Iterator[Finding]:
    """burst is not above a positive quota (config-linux.md, CPU)."""
    cpu = _resources(config).get("cpu", {})
    if 0 < cpu.get("quota", 0) < cpu.get("burst", 0):
        yield "/linux/resources/cpu/burst", f"the burst {cpu['burst']} is above the quota {cpu['quota']}"


def block_io_weights(config: Config) -> Iterator[Finding]:
    """An entry of weightDevice has one of the two weights (config-linux.md, Block IO)."""
    for index, device in enumerate(_resources(config).get("blockIO", {}).get("weightDevice", ())):
        if "weight" not in device and "leafWeight" not in device:
            yield f"/linux/resources/blockIO/weightDevice/{index}", "the entry has neither a weight nor a leafWeight"


def rdma_limits(config: Config) -> Iterator[Finding]:
    """An entry of rdma has one of the two limits (config-linux.md, RDMA)."""
    for name, limits in _resources(config).get("rdma", {}).items():
        if "hcaHandles" not in limits and "hcaObjects" not in limits:
            yield f"/linux/resources/rdma/{_token(name)}", "the entry has neither hcaHandles nor hcaObjects"


def unified_names(config: Config) -> Iterator[Finding]:
    """The keys of unified are names of files in the cgroup's own directory (config-linux.md, Unified)."""
    for name in _resources(config).get("unified", ()):
        if not name or "/" in name or name in (".", ".."):
            yield f"/linux/resources/unified/{_token(name)}", f'"{name}" is not the name of a file in the cgroup'


def network_devices(config: Config) -> Iterator[Finding]:
    """Network devices move only into a network namespace (config-linux.md, Network Devices)."""
    if _linux(config).get("netDevices") and "network" not in _namespaces(config):
        yield "/linux/netDevices", "netDevices need a network namespace to move to"


def _linux(config: Config) -> Config:
    linux: Config = config.get("linux", {})
    return linux


def _resources(config: Config) -> Config:
    resources: Config = _linux(config).get("resources", {})
    return resources


def _namespaces(config: Config) -> dict[str, str]:
    """Path by type of the namespaces that the container does not share with the runtime; "" for a new one."""
    return {entry["type"]: entry.get("path", "") for entry in _linux(config).get("namespaces", ())}


def _token(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


PROCESS_RULES: tuple[Rule, ...] = (
    process_command,
    process_environment,
    process_terminal,
    process_user,
    process_rlimits,
)

RESOURCE_RULES: tuple[Rule, ...] = (
    memory,
    cpu_burst,
    block_io_weights,
    rdma_limits,
    unified_names,
)

RULES: tuple[Rule, ...] = (
    oci_version,
    root_path,
    *PROCESS_RULES,
    hostname_namespace,
    mounts,
    hooks,
    annotation_keys,
    namespaces,
    user_namespace,
    time_offsets,
    devices,
    protected_paths,
    cgroups_path,
    *RESOURCE_RULES,
    network_devices,
    sysctl_keys,
    seccomp_actions,
    seccomp_notify,
)
