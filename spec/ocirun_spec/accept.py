"""Does a value satisfy the config's schema? The fast answer. Generated: do not edit.

Made from the property table by `python -m ocirun_spec.generate`; a test compares this file with what that writes.
A result is None for yes, or the JSON pointer of the first offending value; that is the place where a missing member
should be, and "" when the document itself is not an object. `True` is not an integer here and neither is 1.0.
"""
# fmt: off
# ruff: noqa: ARG001, C901, E501

from __future__ import annotations


def accept(config: object, strange: list[object] | None = None) -> str | None:
    """The first offending place of a config.json's value, or None; `strange` gets the objects with unknown members."""
    return _config(config, [] if strange is None else strange)


def accept_process(process: object, strange: list[object] | None = None) -> str | None:
    """The first offending place of a process object on its own, or None; `strange` as in `accept`."""
    return _process(process, [] if strange is None else strange)


def accept_resources(resources: object, strange: list[object] | None = None) -> str | None:
    """The first offending place of a /linux/resources object on its own, or None; `strange` as in `accept`."""
    return _config_linux_resources(resources, [] if strange is None else strange)


def _key(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


_PROCESS_CONSOLE_SIZE = frozenset(["height", "width"])


def _process_console_size(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "height" not in o:
        return "/height"
    if "width" not in o:
        return "/width"
    v = o["height"]
    if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
        return "/height"
    v = o["width"]
    if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
        return "/width"
    if not o.keys() <= _PROCESS_CONSOLE_SIZE:
        s.append(o)
    return None


_PROCESS_USER = frozenset(["additionalGids", "gid", "uid", "umask", "username"])


def _process_user(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "uid" in o:
        v = o["uid"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/uid"
    if "gid" in o:
        v = o["gid"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/gid"
    if "umask" in o:
        v = o["umask"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/umask"
    if "additionalGids" in o:
        v = o["additionalGids"]
        if not isinstance(v, list):
            return "/additionalGids"
        for i, x in enumerate(v):
            if x.__class__ is not int or not 0 <= x <= 4294967295:
                return f"/additionalGids/{i}"
    if "username" in o:
        v = o["username"]
        if v.__class__ is not str:
            return "/username"
    if not o.keys() <= _PROCESS_USER:
        s.append(o)
    return None


_PROCESS_CAPABILITIES = frozenset(["ambient", "bounding", "effective", "inheritable", "permitted"])


def _process_capabilities(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "bounding" in o:
        v = o["bounding"]
        if not isinstance(v, list):
            return "/bounding"
        for x in v:
            if x.__class__ is not str:
                return f"/bounding/{[y.__class__ is str for y in v].index(False)}"
    if "effective" in o:
        v = o["effective"]
        if not isinstance(v, list):
            return "/effective"
        for x in v:
            if x.__class__ is not str:
                return f"/effective/{[y.__class__ is str for y in v].index(False)}"
    if "inheritable" in o:
        v = o["inheritable"]
        if not isinstance(v, list):
            return "/inheritable"
        for x in v:
            if x.__class__ is not str:
                return f"/inheritable/{[y.__class__ is str for y in v].index(False)}"
    if "permitted" in o:
        v = o["permitted"]
        if not isinstance(v, list):
            return "/permitted"
        for x in v:
            if x.__class__ is not str:
                return f"/permitted/{[y.__class__ is str for y in v].index(False)}"
    if "ambient" in o:
        v = o["ambient"]
        if not isinstance(v, list):
            return "/ambient"
        for x in v:
            if x.__class__ is not str:
                return f"/ambient/{[y.__class__ is str for y in v].index(False)}"
    if not o.keys() <= _PROCESS_CAPABILITIES:
        s.append(o)
    return None


_PROCESS_RLIMITS_ITEM = frozenset(["hard", "soft", "type"])


def _process_rlimits_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "type" not in o:
        return "/type"
    if "soft" not in o:
        return "/soft"
    if "hard" not in o:
        return "/hard"
    v = o["type"]
    if v.__class__ is not str:
        return "/type"
    v = o["soft"]
    if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
        return "/soft"
    v = o["hard"]
    if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
        return "/hard"
    if not o.keys() <= _PROCESS_RLIMITS_ITEM:
        s.append(o)
    return None


_PROCESS_SCHEDULER = frozenset(["deadline", "flags", "nice", "period", "policy", "priority", "runtime"])


def _process_scheduler(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "policy" not in o:
        return "/policy"
    v = o["policy"]
    if v.__class__ is not str or v not in {"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"}:
        return "/policy"
    if "nice" in o:
        v = o["nice"]
        if v.__class__ is not int or not -2147483648 <= v <= 2147483647:
            return "/nice"
    if "priority" in o:
        v = o["priority"]
        if v.__class__ is not int or not -2147483648 <= v <= 2147483647:
            return "/priority"
    if "flags" in o:
        v = o["flags"]
        if not isinstance(v, list):
            return "/flags"
        for i, x in enumerate(v):
            if x.__class__ is not str or x not in {"SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX"}:
                return f"/flags/{i}"
    if "runtime" in o:
        v = o["runtime"]
        if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
            return "/runtime"
    if "deadline" in o:
        v = o["deadline"]
        if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
            return "/deadline"
    if "period" in o:
        v = o["period"]
        if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
            return "/period"
    if not o.keys() <= _PROCESS_SCHEDULER:
        s.append(o)
    return None


_PROCESS_IO_PRIORITY = frozenset(["class", "priority"])


def _process_io_priority(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "class" not in o:
        return "/class"
    v = o["class"]
    if v.__class__ is not str or v not in {"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"}:
        return "/class"
    if "priority" in o:
        v = o["priority"]
        if v.__class__ is not int or not 0 <= v <= 7:
            return "/priority"
    if not o.keys() <= _PROCESS_IO_PRIORITY:
        s.append(o)
    return None


_PROCESS_EXEC_CPUAFFINITY = frozenset(["final", "initial"])


def _process_exec_cpuaffinity(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "initial" in o:
        v = o["initial"]
        if v.__class__ is not str or v.strip("0123456789, -"):
            return "/initial"
    if "final" in o:
        v = o["final"]
        if v.__class__ is not str or v.strip("0123456789, -"):
            return "/final"
    if not o.keys() <= _PROCESS_EXEC_CPUAFFINITY:
        s.append(o)
    return None


_PROCESS = frozenset(["apparmorProfile", "args", "capabilities", "commandLine", "consoleSize", "cwd", "env", "execCPUAffinity", "ioPriority", "noNewPrivileges", "oomScoreAdj", "rlimits", "scheduler", "selinuxLabel", "terminal", "user"])


def _process(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "cwd" not in o:
        return "/cwd"
    v = o["cwd"]
    if v.__class__ is not str:
        return "/cwd"
    if "args" in o:
        v = o["args"]
        if not isinstance(v, list):
            return "/args"
        for x in v:
            if x.__class__ is not str:
                return f"/args/{[y.__class__ is str for y in v].index(False)}"
    if "env" in o:
        v = o["env"]
        if not isinstance(v, list):
            return "/env"
        for x in v:
            if x.__class__ is not str:
                return f"/env/{[y.__class__ is str for y in v].index(False)}"
    if "commandLine" in o:
        v = o["commandLine"]
        if v.__class__ is not str:
            return "/commandLine"
    if "terminal" in o:
        v = o["terminal"]
        if v.__class__ is not bool:
            return "/terminal"
    if "consoleSize" in o:
        v = o["consoleSize"]
        e = _process_console_size(v, s)
        if e is not None:
            return "/consoleSize" + e
    if "user" in o:
        v = o["user"]
        e = _process_user(v, s)
        if e is not None:
            return "/user" + e
    if "noNewPrivileges" in o:
        v = o["noNewPrivileges"]
        if v.__class__ is not bool:
            return "/noNewPrivileges"
    if "capabilities" in o:
        v = o["capabilities"]
        e = _process_capabilities(v, s)
        if e is not None:
            return "/capabilities" + e
    if "rlimits" in o:
        v = o["rlimits"]
        if not isinstance(v, list):
            return "/rlimits"
        for i, x in enumerate(v):
            e = _process_rlimits_item(x, s)
            if e is not None:
                return f"/rlimits/{i}" + e
    if "oomScoreAdj" in o:
        v = o["oomScoreAdj"]
        if v.__class__ is not int or not -1000 <= v <= 1000:
            return "/oomScoreAdj"
    if "apparmorProfile" in o:
        v = o["apparmorProfile"]
        if v.__class__ is not str:
            return "/apparmorProfile"
    if "selinuxLabel" in o:
        v = o["selinuxLabel"]
        if v.__class__ is not str:
            return "/selinuxLabel"
    if "scheduler" in o:
        v = o["scheduler"]
        e = _process_scheduler(v, s)
        if e is not None:
            return "/scheduler" + e
    if "ioPriority" in o:
        v = o["ioPriority"]
        e = _process_io_priority(v, s)
        if e is not None:
            return "/ioPriority" + e
    if "execCPUAffinity" in o:
        v = o["execCPUAffinity"]
        e = _process_exec_cpuaffinity(v, s)
        if e is not None:
            return "/execCPUAffinity" + e
    if not o.keys() <= _PROCESS:
        s.append(o)
    return None


_CONFIG_ROOT = frozenset(["path", "readonly"])


def _config_root(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "path" not in o:
        return "/path"
    v = o["path"]
    if v.__class__ is not str:
        return "/path"
    if "readonly" in o:
        v = o["readonly"]
        if v.__class__ is not bool:
            return "/readonly"
    if not o.keys() <= _CONFIG_ROOT:
        s.append(o)
    return None


def _config_annotations(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    for k, v in o.items():
        if v.__class__ is not str:
            return _key(k)
    return None


_CONFIG_MOUNTS_ITEM_UID_MAPPINGS_ITEM = frozenset(["containerID", "hostID", "size"])


def _config_mounts_item_uid_mappings_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "containerID" not in o:
        return "/containerID"
    if "hostID" not in o:
        return "/hostID"
    if "size" not in o:
        return "/size"
    v = o["containerID"]
    if v.__class__ is not int or not 0 <= v <= 4294967295:
        return "/containerID"
    v = o["hostID"]
    if v.__class__ is not int or not 0 <= v <= 4294967295:
        return "/hostID"
    v = o["size"]
    if v.__class__ is not int or not 0 <= v <= 4294967295:
        return "/size"
    if not o.keys() <= _CONFIG_MOUNTS_ITEM_UID_MAPPINGS_ITEM:
        s.append(o)
    return None


_CONFIG_MOUNTS_ITEM = frozenset(["destination", "gidMappings", "options", "source", "type", "uidMappings"])


def _config_mounts_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "destination" not in o:
        return "/destination"
    v = o["destination"]
    if v.__class__ is not str:
        return "/destination"
    if "source" in o:
        v = o["source"]
        if v.__class__ is not str:
            return "/source"
    if "type" in o:
        v = o["type"]
        if v.__class__ is not str:
            return "/type"
    if "options" in o:
        v = o["options"]
        if not isinstance(v, list):
            return "/options"
        for x in v:
            if x.__class__ is not str:
                return f"/options/{[y.__class__ is str for y in v].index(False)}"
    if "uidMappings" in o:
        v = o["uidMappings"]
        if not isinstance(v, list):
            return "/uidMappings"
        for i, x in enumerate(v):
            e = _config_mounts_item_uid_mappings_item(x, s)
            if e is not None:
                return f"/uidMappings/{i}" + e
    if "gidMappings" in o:
        v = o["gidMappings"]
        if not isinstance(v, list):
            return "/gidMappings"
        for i, x in enumerate(v):
            e = _config_mounts_item_uid_mappings_item(x, s)
            if e is not None:
                return f"/gidMappings/{i}" + e
    if not o.keys() <= _CONFIG_MOUNTS_ITEM:
        s.append(o)
    return None


_CONFIG_HOOKS_PRESTART_ITEM = frozenset(["args", "env", "path", "timeout"])


def _config_hooks_prestart_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "path" not in o:
        return "/path"
    v = o["path"]
    if v.__class__ is not str:
        return "/path"
    if "args" in o:
        v = o["args"]
        if not isinstance(v, list):
            return "/args"
        for x in v:
            if x.__class__ is not str:
                return f"/args/{[y.__class__ is str for y in v].index(False)}"
    if "env" in o:
        v = o["env"]
        if not isinstance(v, list):
            return "/env"
        for x in v:
            if x.__class__ is not str:
                return f"/env/{[y.__class__ is str for y in v].index(False)}"
    if "timeout" in o:
        v = o["timeout"]
        if v.__class__ is not int or not 1 <= v <= 9223372036854775807:
            return "/timeout"
    if not o.keys() <= _CONFIG_HOOKS_PRESTART_ITEM:
        s.append(o)
    return None


_CONFIG_HOOKS = frozenset(["createContainer", "createRuntime", "poststart", "poststop", "prestart", "startContainer"])


def _config_hooks(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "prestart" in o:
        v = o["prestart"]
        if not isinstance(v, list):
            return "/prestart"
        for i, x in enumerate(v):
            e = _config_hooks_prestart_item(x, s)
            if e is not None:
                return f"/prestart/{i}" + e
    if "createRuntime" in o:
        v = o["createRuntime"]
        if not isinstance(v, list):
            return "/createRuntime"
        for i, x in enumerate(v):
            e = _config_hooks_prestart_item(x, s)
            if e is not None:
                return f"/createRuntime/{i}" + e
    if "createContainer" in o:
        v = o["createContainer"]
        if not isinstance(v, list):
            return "/createContainer"
        for i, x in enumerate(v):
            e = _config_hooks_prestart_item(x, s)
            if e is not None:
                return f"/createContainer/{i}" + e
    if "startContainer" in o:
        v = o["startContainer"]
        if not isinstance(v, list):
            return "/startContainer"
        for i, x in enumerate(v):
            e = _config_hooks_prestart_item(x, s)
            if e is not None:
                return f"/startContainer/{i}" + e
    if "poststart" in o:
        v = o["poststart"]
        if not isinstance(v, list):
            return "/poststart"
        for i, x in enumerate(v):
            e = _config_hooks_prestart_item(x, s)
            if e is not None:
                return f"/poststart/{i}" + e
    if "poststop" in o:
        v = o["poststop"]
        if not isinstance(v, list):
            return "/poststop"
        for i, x in enumerate(v):
            e = _config_hooks_prestart_item(x, s)
            if e is not None:
                return f"/poststop/{i}" + e
    if not o.keys() <= _CONFIG_HOOKS:
        s.append(o)
    return None


_CONFIG_LINUX_NAMESPACES_ITEM = frozenset(["path", "type"])


def _config_linux_namespaces_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "type" not in o:
        return "/type"
    v = o["type"]
    if v.__class__ is not str or v not in {"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"}:
        return "/type"
    if "path" in o:
        v = o["path"]
        if v.__class__ is not str:
            return "/path"
    if not o.keys() <= _CONFIG_LINUX_NAMESPACES_ITEM:
        s.append(o)
    return None


_CONFIG_LINUX_TIME_OFFSETS_ITEM = frozenset(["nanosecs", "secs"])


def _config_linux_time_offsets_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "secs" in o:
        v = o["secs"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/secs"
    if "nanosecs" in o:
        v = o["nanosecs"]
        if v.__class__ is not int or not 0 <= v <= 999999999:
            return "/nanosecs"
    if not o.keys() <= _CONFIG_LINUX_TIME_OFFSETS_ITEM:
        s.append(o)
    return None


def _config_linux_time_offsets(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    for k, v in o.items():
        e = _config_linux_time_offsets_item(v, s)
        if e is not None:
            return _key(k) + e
    return None


_CONFIG_LINUX_DEVICES_ITEM = frozenset(["fileMode", "gid", "major", "minor", "path", "type", "uid"])


def _config_linux_devices_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "type" not in o:
        return "/type"
    if "path" not in o:
        return "/path"
    v = o["type"]
    if v.__class__ is not str or v not in {"c", "b", "u", "p"}:
        return "/type"
    v = o["path"]
    if v.__class__ is not str:
        return "/path"
    if "major" in o:
        v = o["major"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/major"
    if "minor" in o:
        v = o["minor"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/minor"
    if "fileMode" in o:
        v = o["fileMode"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/fileMode"
    if "uid" in o:
        v = o["uid"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/uid"
    if "gid" in o:
        v = o["gid"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/gid"
    if not o.keys() <= _CONFIG_LINUX_DEVICES_ITEM:
        s.append(o)
    return None


_CONFIG_LINUX_NET_DEVICES_ITEM = frozenset(["name"])


def _config_linux_net_devices_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "name" in o:
        v = o["name"]
        if v.__class__ is not str:
            return "/name"
    if not o.keys() <= _CONFIG_LINUX_NET_DEVICES_ITEM:
        s.append(o)
    return None


def _config_linux_net_devices(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    for k, v in o.items():
        e = _config_linux_net_devices_item(v, s)
        if e is not None:
            return _key(k) + e
    return None


_CONFIG_LINUX_INTEL_RDT = frozenset(["closID", "enableMonitoring", "l3CacheSchema", "memBwSchema", "schemata"])


def _config_linux_intel_rdt(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "closID" in o:
        v = o["closID"]
        if v.__class__ is not str:
            return "/closID"
    if "l3CacheSchema" in o:
        v = o["l3CacheSchema"]
        if v.__class__ is not str:
            return "/l3CacheSchema"
    if "memBwSchema" in o:
        v = o["memBwSchema"]
        if v.__class__ is not str or not v.startswith("MB:") or "\n" in v:
            return "/memBwSchema"
    if "schemata" in o:
        v = o["schemata"]
        if not isinstance(v, list):
            return "/schemata"
        for i, x in enumerate(v):
            if x.__class__ is not str or "\n" in x:
                return f"/schemata/{i}"
    if "enableMonitoring" in o:
        v = o["enableMonitoring"]
        if v.__class__ is not bool:
            return "/enableMonitoring"
    if not o.keys() <= _CONFIG_LINUX_INTEL_RDT:
        s.append(o)
    return None


_CONFIG_LINUX_MEMORY_POLICY = frozenset(["flags", "mode", "nodes"])


def _config_linux_memory_policy(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "mode" not in o:
        return "/mode"
    v = o["mode"]
    if v.__class__ is not str or v not in {"MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL"}:
        return "/mode"
    if "nodes" in o:
        v = o["nodes"]
        if v.__class__ is not str:
            return "/nodes"
    if "flags" in o:
        v = o["flags"]
        if not isinstance(v, list):
            return "/flags"
        for i, x in enumerate(v):
            if x.__class__ is not str or x not in {"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"}:
                return f"/flags/{i}"
    if not o.keys() <= _CONFIG_LINUX_MEMORY_POLICY:
        s.append(o)
    return None


_CONFIG_LINUX_PERSONALITY = frozenset(["domain", "flags"])


def _config_linux_personality(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "domain" not in o:
        return "/domain"
    v = o["domain"]
    if v.__class__ is not str or v not in {"LINUX", "LINUX32"}:
        return "/domain"
    if "flags" in o:
        v = o["flags"]
        if not isinstance(v, list):
            return "/flags"
        for x in v:
            if x.__class__ is not str:
                return f"/flags/{[y.__class__ is str for y in v].index(False)}"
    if not o.keys() <= _CONFIG_LINUX_PERSONALITY:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_DEVICES_ITEM = frozenset(["access", "allow", "major", "minor", "type"])


def _config_linux_resources_devices_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "allow" not in o:
        return "/allow"
    v = o["allow"]
    if v.__class__ is not bool:
        return "/allow"
    if "type" in o:
        v = o["type"]
        if v.__class__ is not str or v not in {"a", "c", "b"}:
            return "/type"
    if "major" in o:
        v = o["major"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/major"
    if "minor" in o:
        v = o["minor"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/minor"
    if "access" in o:
        v = o["access"]
        if v.__class__ is not str or v.strip("rwm"):
            return "/access"
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_DEVICES_ITEM:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_MEMORY = frozenset(["checkBeforeUpdate", "disableOOMKiller", "kernel", "kernelTCP", "limit", "reservation", "swap", "swappiness", "useHierarchy"])


def _config_linux_resources_memory(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "limit" in o:
        v = o["limit"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/limit"
    if "reservation" in o:
        v = o["reservation"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/reservation"
    if "swap" in o:
        v = o["swap"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/swap"
    if "kernel" in o:
        v = o["kernel"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/kernel"
    if "kernelTCP" in o:
        v = o["kernelTCP"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/kernelTCP"
    if "swappiness" in o:
        v = o["swappiness"]
        if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
            return "/swappiness"
    if "disableOOMKiller" in o:
        v = o["disableOOMKiller"]
        if v.__class__ is not bool:
            return "/disableOOMKiller"
    if "useHierarchy" in o:
        v = o["useHierarchy"]
        if v.__class__ is not bool:
            return "/useHierarchy"
    if "checkBeforeUpdate" in o:
        v = o["checkBeforeUpdate"]
        if v.__class__ is not bool:
            return "/checkBeforeUpdate"
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_MEMORY:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_CPU = frozenset(["burst", "cpus", "idle", "mems", "period", "quota", "realtimePeriod", "realtimeRuntime", "shares"])


def _config_linux_resources_cpu(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "shares" in o:
        v = o["shares"]
        if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
            return "/shares"
    if "quota" in o:
        v = o["quota"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/quota"
    if "burst" in o:
        v = o["burst"]
        if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
            return "/burst"
    if "period" in o:
        v = o["period"]
        if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
            return "/period"
    if "realtimeRuntime" in o:
        v = o["realtimeRuntime"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/realtimeRuntime"
    if "realtimePeriod" in o:
        v = o["realtimePeriod"]
        if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
            return "/realtimePeriod"
    if "cpus" in o:
        v = o["cpus"]
        if v.__class__ is not str:
            return "/cpus"
    if "mems" in o:
        v = o["mems"]
        if v.__class__ is not str:
            return "/mems"
    if "idle" in o:
        v = o["idle"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/idle"
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_CPU:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_PIDS = frozenset(["limit"])


def _config_linux_resources_pids(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "limit" in o:
        v = o["limit"]
        if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
            return "/limit"
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_PIDS:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_BLOCK_IO_WEIGHT_DEVICE_ITEM = frozenset(["leafWeight", "major", "minor", "weight"])


def _config_linux_resources_block_io_weight_device_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "major" not in o:
        return "/major"
    if "minor" not in o:
        return "/minor"
    v = o["major"]
    if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
        return "/major"
    v = o["minor"]
    if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
        return "/minor"
    if "weight" in o:
        v = o["weight"]
        if v.__class__ is not int or not 0 <= v <= 65535:
            return "/weight"
    if "leafWeight" in o:
        v = o["leafWeight"]
        if v.__class__ is not int or not 0 <= v <= 65535:
            return "/leafWeight"
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_BLOCK_IO_WEIGHT_DEVICE_ITEM:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_BLOCK_IO_THROTTLE_READ_BPS_DEVICE_ITEM = frozenset(["major", "minor", "rate"])


def _config_linux_resources_block_io_throttle_read_bps_device_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "major" not in o:
        return "/major"
    if "minor" not in o:
        return "/minor"
    if "rate" not in o:
        return "/rate"
    v = o["major"]
    if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
        return "/major"
    v = o["minor"]
    if v.__class__ is not int or not -9223372036854775808 <= v <= 9223372036854775807:
        return "/minor"
    v = o["rate"]
    if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
        return "/rate"
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_BLOCK_IO_THROTTLE_READ_BPS_DEVICE_ITEM:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_BLOCK_IO = frozenset(["leafWeight", "throttleReadBpsDevice", "throttleReadIOPSDevice", "throttleWriteBpsDevice", "throttleWriteIOPSDevice", "weight", "weightDevice"])


def _config_linux_resources_block_io(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "weight" in o:
        v = o["weight"]
        if v.__class__ is not int or not 0 <= v <= 65535:
            return "/weight"
    if "leafWeight" in o:
        v = o["leafWeight"]
        if v.__class__ is not int or not 0 <= v <= 65535:
            return "/leafWeight"
    if "weightDevice" in o:
        v = o["weightDevice"]
        if not isinstance(v, list):
            return "/weightDevice"
        for i, x in enumerate(v):
            e = _config_linux_resources_block_io_weight_device_item(x, s)
            if e is not None:
                return f"/weightDevice/{i}" + e
    if "throttleReadBpsDevice" in o:
        v = o["throttleReadBpsDevice"]
        if not isinstance(v, list):
            return "/throttleReadBpsDevice"
        for i, x in enumerate(v):
            e = _config_linux_resources_block_io_throttle_read_bps_device_item(x, s)
            if e is not None:
                return f"/throttleReadBpsDevice/{i}" + e
    if "throttleWriteBpsDevice" in o:
        v = o["throttleWriteBpsDevice"]
        if not isinstance(v, list):
            return "/throttleWriteBpsDevice"
        for i, x in enumerate(v):
            e = _config_linux_resources_block_io_throttle_read_bps_device_item(x, s)
            if e is not None:
                return f"/throttleWriteBpsDevice/{i}" + e
    if "throttleReadIOPSDevice" in o:
        v = o["throttleReadIOPSDevice"]
        if not isinstance(v, list):
            return "/throttleReadIOPSDevice"
        for i, x in enumerate(v):
            e = _config_linux_resources_block_io_throttle_read_bps_device_item(x, s)
            if e is not None:
                return f"/throttleReadIOPSDevice/{i}" + e
    if "throttleWriteIOPSDevice" in o:
        v = o["throttleWriteIOPSDevice"]
        if not isinstance(v, list):
            return "/throttleWriteIOPSDevice"
        for i, x in enumerate(v):
            e = _config_linux_resources_block_io_throttle_read_bps_device_item(x, s)
            if e is not None:
                return f"/throttleWriteIOPSDevice/{i}" + e
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_BLOCK_IO:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_HUGEPAGE_LIMITS_ITEM = frozenset(["limit", "pageSize"])


def _config_linux_resources_hugepage_limits_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "pageSize" not in o:
        return "/pageSize"
    if "limit" not in o:
        return "/limit"
    v = o["pageSize"]
    if v.__class__ is not str or v[-2:] not in {"KB", "MB", "GB"} or v[0] not in "123456789" or v[:-2].strip("0123456789"):
        return "/pageSize"
    v = o["limit"]
    if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
        return "/limit"
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_HUGEPAGE_LIMITS_ITEM:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_NETWORK_PRIORITIES_ITEM = frozenset(["name", "priority"])


def _config_linux_resources_network_priorities_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "name" not in o:
        return "/name"
    if "priority" not in o:
        return "/priority"
    v = o["name"]
    if v.__class__ is not str:
        return "/name"
    v = o["priority"]
    if v.__class__ is not int or not 0 <= v <= 4294967295:
        return "/priority"
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_NETWORK_PRIORITIES_ITEM:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_NETWORK = frozenset(["classID", "priorities"])


def _config_linux_resources_network(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "classID" in o:
        v = o["classID"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/classID"
    if "priorities" in o:
        v = o["priorities"]
        if not isinstance(v, list):
            return "/priorities"
        for i, x in enumerate(v):
            e = _config_linux_resources_network_priorities_item(x, s)
            if e is not None:
                return f"/priorities/{i}" + e
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_NETWORK:
        s.append(o)
    return None


_CONFIG_LINUX_RESOURCES_RDMA_ITEM = frozenset(["hcaHandles", "hcaObjects"])


def _config_linux_resources_rdma_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "hcaHandles" in o:
        v = o["hcaHandles"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/hcaHandles"
    if "hcaObjects" in o:
        v = o["hcaObjects"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/hcaObjects"
    if not o.keys() <= _CONFIG_LINUX_RESOURCES_RDMA_ITEM:
        s.append(o)
    return None


def _config_linux_resources_rdma(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    for k, v in o.items():
        e = _config_linux_resources_rdma_item(v, s)
        if e is not None:
            return _key(k) + e
    return None


_CONFIG_LINUX_RESOURCES = frozenset(["blockIO", "cpu", "devices", "hugepageLimits", "memory", "network", "pids", "rdma", "unified"])


def _config_linux_resources(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "devices" in o:
        v = o["devices"]
        if not isinstance(v, list):
            return "/devices"
        for i, x in enumerate(v):
            e = _config_linux_resources_devices_item(x, s)
            if e is not None:
                return f"/devices/{i}" + e
    if "memory" in o:
        v = o["memory"]
        e = _config_linux_resources_memory(v, s)
        if e is not None:
            return "/memory" + e
    if "cpu" in o:
        v = o["cpu"]
        e = _config_linux_resources_cpu(v, s)
        if e is not None:
            return "/cpu" + e
    if "pids" in o:
        v = o["pids"]
        e = _config_linux_resources_pids(v, s)
        if e is not None:
            return "/pids" + e
    if "unified" in o:
        v = o["unified"]
        e = _config_annotations(v, s)
        if e is not None:
            return "/unified" + e
    if "blockIO" in o:
        v = o["blockIO"]
        e = _config_linux_resources_block_io(v, s)
        if e is not None:
            return "/blockIO" + e
    if "hugepageLimits" in o:
        v = o["hugepageLimits"]
        if not isinstance(v, list):
            return "/hugepageLimits"
        for i, x in enumerate(v):
            e = _config_linux_resources_hugepage_limits_item(x, s)
            if e is not None:
                return f"/hugepageLimits/{i}" + e
    if "network" in o:
        v = o["network"]
        e = _config_linux_resources_network(v, s)
        if e is not None:
            return "/network" + e
    if "rdma" in o:
        v = o["rdma"]
        e = _config_linux_resources_rdma(v, s)
        if e is not None:
            return "/rdma" + e
    if not o.keys() <= _CONFIG_LINUX_RESOURCES:
        s.append(o)
    return None


_CONFIG_LINUX_SECCOMP_SYSCALLS_ITEM_ARGS_ITEM = frozenset(["index", "op", "value", "valueTwo"])


def _config_linux_seccomp_syscalls_item_args_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "index" not in o:
        return "/index"
    if "value" not in o:
        return "/value"
    if "op" not in o:
        return "/op"
    v = o["index"]
    if v.__class__ is not int or not 0 <= v <= 5:
        return "/index"
    v = o["value"]
    if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
        return "/value"
    if "valueTwo" in o:
        v = o["valueTwo"]
        if v.__class__ is not int or not 0 <= v <= 18446744073709551615:
            return "/valueTwo"
    v = o["op"]
    if v.__class__ is not str or v not in {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"}:
        return "/op"
    if not o.keys() <= _CONFIG_LINUX_SECCOMP_SYSCALLS_ITEM_ARGS_ITEM:
        s.append(o)
    return None


_CONFIG_LINUX_SECCOMP_SYSCALLS_ITEM = frozenset(["action", "args", "errnoRet", "names"])


def _config_linux_seccomp_syscalls_item(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "names" not in o:
        return "/names"
    if "action" not in o:
        return "/action"
    v = o["names"]
    if not isinstance(v, list) or len(v) < 1:
        return "/names"
    for x in v:
        if x.__class__ is not str:
            return f"/names/{[y.__class__ is str for y in v].index(False)}"
    v = o["action"]
    if v.__class__ is not str or v not in {"SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"}:
        return "/action"
    if "errnoRet" in o:
        v = o["errnoRet"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/errnoRet"
    if "args" in o:
        v = o["args"]
        if not isinstance(v, list):
            return "/args"
        for i, x in enumerate(v):
            e = _config_linux_seccomp_syscalls_item_args_item(x, s)
            if e is not None:
                return f"/args/{i}" + e
    if not o.keys() <= _CONFIG_LINUX_SECCOMP_SYSCALLS_ITEM:
        s.append(o)
    return None


_CONFIG_LINUX_SECCOMP = frozenset(["architectures", "defaultAction", "defaultErrnoRet", "flags", "listenerMetadata", "listenerPath", "syscalls"])


def _config_linux_seccomp(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "defaultAction" not in o:
        return "/defaultAction"
    v = o["defaultAction"]
    if v.__class__ is not str or v not in {"SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"}:
        return "/defaultAction"
    if "defaultErrnoRet" in o:
        v = o["defaultErrnoRet"]
        if v.__class__ is not int or not 0 <= v <= 4294967295:
            return "/defaultErrnoRet"
    if "architectures" in o:
        v = o["architectures"]
        if not isinstance(v, list):
            return "/architectures"
        for i, x in enumerate(v):
            if x.__class__ is not str or x not in {"SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64", "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB"}:
                return f"/architectures/{i}"
    if "flags" in o:
        v = o["flags"]
        if not isinstance(v, list):
            return "/flags"
        for i, x in enumerate(v):
            if x.__class__ is not str or x not in {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}:
                return f"/flags/{i}"
    if "listenerPath" in o:
        v = o["listenerPath"]
        if v.__class__ is not str:
            return "/listenerPath"
    if "listenerMetadata" in o:
        v = o["listenerMetadata"]
        if v.__class__ is not str:
            return "/listenerMetadata"
    if "syscalls" in o:
        v = o["syscalls"]
        if not isinstance(v, list):
            return "/syscalls"
        for i, x in enumerate(v):
            e = _config_linux_seccomp_syscalls_item(x, s)
            if e is not None:
                return f"/syscalls/{i}" + e
    if not o.keys() <= _CONFIG_LINUX_SECCOMP:
        s.append(o)
    return None


_CONFIG_LINUX = frozenset(["cgroupsPath", "devices", "gidMappings", "intelRdt", "maskedPaths", "memoryPolicy", "mountLabel", "namespaces", "netDevices", "personality", "readonlyPaths", "resources", "rootfsPropagation", "seccomp", "sysctl", "timeOffsets", "uidMappings"])


def _config_linux(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "namespaces" in o:
        v = o["namespaces"]
        if not isinstance(v, list):
            return "/namespaces"
        for i, x in enumerate(v):
            e = _config_linux_namespaces_item(x, s)
            if e is not None:
                return f"/namespaces/{i}" + e
    if "uidMappings" in o:
        v = o["uidMappings"]
        if not isinstance(v, list):
            return "/uidMappings"
        for i, x in enumerate(v):
            e = _config_mounts_item_uid_mappings_item(x, s)
            if e is not None:
                return f"/uidMappings/{i}" + e
    if "gidMappings" in o:
        v = o["gidMappings"]
        if not isinstance(v, list):
            return "/gidMappings"
        for i, x in enumerate(v):
            e = _config_mounts_item_uid_mappings_item(x, s)
            if e is not None:
                return f"/gidMappings/{i}" + e
    if "timeOffsets" in o:
        v = o["timeOffsets"]
        e = _config_linux_time_offsets(v, s)
        if e is not None:
            return "/timeOffsets" + e
    if "devices" in o:
        v = o["devices"]
        if not isinstance(v, list):
            return "/devices"
        for i, x in enumerate(v):
            e = _config_linux_devices_item(x, s)
            if e is not None:
                return f"/devices/{i}" + e
    if "sysctl" in o:
        v = o["sysctl"]
        e = _config_annotations(v, s)
        if e is not None:
            return "/sysctl" + e
    if "rootfsPropagation" in o:
        v = o["rootfsPropagation"]
        if v.__class__ is not str or v not in {"shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"}:
            return "/rootfsPropagation"
    if "maskedPaths" in o:
        v = o["maskedPaths"]
        if not isinstance(v, list):
            return "/maskedPaths"
        for x in v:
            if x.__class__ is not str:
                return f"/maskedPaths/{[y.__class__ is str for y in v].index(False)}"
    if "readonlyPaths" in o:
        v = o["readonlyPaths"]
        if not isinstance(v, list):
            return "/readonlyPaths"
        for x in v:
            if x.__class__ is not str:
                return f"/readonlyPaths/{[y.__class__ is str for y in v].index(False)}"
    if "mountLabel" in o:
        v = o["mountLabel"]
        if v.__class__ is not str:
            return "/mountLabel"
    if "netDevices" in o:
        v = o["netDevices"]
        e = _config_linux_net_devices(v, s)
        if e is not None:
            return "/netDevices" + e
    if "intelRdt" in o:
        v = o["intelRdt"]
        e = _config_linux_intel_rdt(v, s)
        if e is not None:
            return "/intelRdt" + e
    if "memoryPolicy" in o:
        v = o["memoryPolicy"]
        e = _config_linux_memory_policy(v, s)
        if e is not None:
            return "/memoryPolicy" + e
    if "personality" in o:
        v = o["personality"]
        e = _config_linux_personality(v, s)
        if e is not None:
            return "/personality" + e
    if "cgroupsPath" in o:
        v = o["cgroupsPath"]
        if v.__class__ is not str:
            return "/cgroupsPath"
    if "resources" in o:
        v = o["resources"]
        e = _config_linux_resources(v, s)
        if e is not None:
            return "/resources" + e
    if "seccomp" in o:
        v = o["seccomp"]
        e = _config_linux_seccomp(v, s)
        if e is not None:
            return "/seccomp" + e
    if not o.keys() <= _CONFIG_LINUX:
        s.append(o)
    return None


_CONFIG = frozenset(["annotations", "domainname", "freebsd", "hooks", "hostname", "linux", "mounts", "ociVersion", "process", "root", "solaris", "vm", "windows", "zos"])


def _config(o: object, s: list[object]) -> str | None:
    if not isinstance(o, dict):
        return ""
    if "ociVersion" not in o:
        return "/ociVersion"
    v = o["ociVersion"]
    if v.__class__ is not str:
        return "/ociVersion"
    if "root" in o:
        v = o["root"]
        e = _config_root(v, s)
        if e is not None:
            return "/root" + e
    if "hostname" in o:
        v = o["hostname"]
        if v.__class__ is not str:
            return "/hostname"
    if "domainname" in o:
        v = o["domainname"]
        if v.__class__ is not str:
            return "/domainname"
    if "annotations" in o:
        v = o["annotations"]
        e = _config_annotations(v, s)
        if e is not None:
            return "/annotations" + e
    if "process" in o:
        v = o["process"]
        e = _process(v, s)
        if e is not None:
            return "/process" + e
    if "mounts" in o:
        v = o["mounts"]
        if not isinstance(v, list):
            return "/mounts"
        for i, x in enumerate(v):
            e = _config_mounts_item(x, s)
            if e is not None:
                return f"/mounts/{i}" + e
    if "hooks" in o:
        v = o["hooks"]
        e = _config_hooks(v, s)
        if e is not None:
            return "/hooks" + e
    if "windows" in o:
        v = o["windows"]
        if not isinstance(v, dict):
            return "/windows"
    if "solaris" in o:
        v = o["solaris"]
        if not isinstance(v, dict):
            return "/solaris"
    if "vm" in o:
        v = o["vm"]
        if not isinstance(v, dict):
            return "/vm"
    if "zos" in o:
        v = o["zos"]
        if not isinstance(v, dict):
            return "/zos"
    if "freebsd" in o:
        v = o["freebsd"]
        if not isinstance(v, dict):
            return "/freebsd"
    if "linux" in o:
        v = o["linux"]
        e = _config_linux(v, s)
        if e is not None:
            return "/linux" + e
    if not o.keys() <= _CONFIG:
        s.append(o)
    return None
