"""Properties of config.md: version, root, process, mounts, hooks, annotations."""

from __future__ import annotations

from .row import Property, Section, but

_WINDOWS = "for Windows only"

_bundle = Section("", "bundle")
_root = Section("/root", "root")
_hostname = Section("", "hostname")
_hooks = Section("/hooks", "hooks")

_VERSION: tuple[Property, ...] = (
    _bundle.object("", "ociVersion"),
    _bundle.string("/ociVersion"),
    _root.object("", "path"),
    _root.string("/path"),
    _root.boolean("/readonly"),
    _hostname.string("/hostname"),
    _hostname.string("/domainname", since="1.1.0"),
    *Section("", "annotations").string_map("/annotations"),
)

_PLATFORMS: tuple[Property, ...] = tuple(
    but(_bundle.opaque("/" + platform, since), "refused", "configures another platform than Linux")
    for platform, since in (
        ("windows", "1.0.0"),
        ("solaris", "1.0.0"),
        ("vm", "1.0.2"),
        ("zos", "1.1.0"),
        ("freebsd", "1.3.0"),
    )
)

_mounts = Section("/mounts", "mounts")

_MOUNTS: tuple[Property, ...] = (
    _mounts.array(""),
    _mounts.object("/*", "destination"),
    _mounts.string("/*/destination"),
    _mounts.string("/*/source"),
    _mounts.string("/*/type"),
    *_mounts.strings("/*/options"),
    *_mounts.mappings("/*/uidMappings", "1.1.0"),
    *_mounts.mappings("/*/gidMappings", "1.1.0"),
)

HOOK_NAMES = (
    ("prestart", "1.0.0"),
    ("createRuntime", "1.0.2"),
    ("createContainer", "1.0.2"),
    ("startContainer", "1.0.2"),
    ("poststart", "1.0.0"),
    ("poststop", "1.0.0"),
)


def _hook(name: str, since: str) -> tuple[Property, ...]:
    return (
        _hooks.array(f"/{name}", since=since),
        _hooks.object(f"/{name}/*", "path", since=since),
        _hooks.string(f"/{name}/*/path", since=since),
        *_hooks.strings(f"/{name}/*/args", since=since),
        *_hooks.strings(f"/{name}/*/env", since=since),
        _hooks.within(f"/{name}/*/timeout", 1, (1 << 63) - 1, since),
    )


_HOOKS: tuple[Property, ...] = (
    _hooks.object(""),
    *(row for name, since in HOOK_NAMES for row in _hook(name, since)),
)

_process = Section("/process", "process")
_console = Section("/process", "console")
_user = Section("/process/user", "credentials")
_capabilities = Section("/process/capabilities", "capabilities")
_rlimits = Section("/process/rlimits", "rlimits")
_scheduler = Section("/process/scheduler", "scheduler", "1.1.0")
_priority = Section("/process/ioPriority", "scheduler", "1.1.0")
_affinity = Section("/process/execCPUAffinity", "scheduler", "1.2.1", reason="for `exec` only, as the text says")
_apparmor = Section("/process", "lsm", reason="refused where AppArmor is not enabled")
_selinux = Section("/process", "lsm", reason="refused where SELinux is not enabled")

_PROCESS: tuple[Property, ...] = (
    _process.object("", "cwd"),
    _process.string("/cwd"),
    *_process.strings("/args"),
    *_process.strings("/env"),
    but(_process.string("/commandLine", since="1.0.2"), "refused", _WINDOWS),
    _console.boolean("/terminal"),
    _console.object("/consoleSize", "height", "width"),
    _console.integer("/consoleSize/height", "uint64"),
    _console.integer("/consoleSize/width", "uint64"),
    _user.object(""),
    _user.integer("/uid", "uint32"),
    _user.integer("/gid", "uint32"),
    _user.integer("/umask", "uint32", "1.0.2"),
    _user.array("/additionalGids"),
    _user.integer("/additionalGids/*", "uint32"),
    but(_user.string("/username"), "refused", _WINDOWS),
    Section("/process", "credentials").boolean("/noNewPrivileges"),
    _capabilities.object(""),
    *(
        row
        for name in ("bounding", "effective", "inheritable", "permitted", "ambient")
        for row in _capabilities.strings("/" + name)
    ),
    _rlimits.array(""),
    _rlimits.object("/*", "type", "soft", "hard"),
    _rlimits.string("/*/type"),
    _rlimits.integer("/*/soft", "uint64"),
    _rlimits.integer("/*/hard", "uint64"),
    # proc(5): the kernel refuses anything outside OOM_SCORE_ADJ_MIN..OOM_SCORE_ADJ_MAX.
    Section("/process", "oom").within("/oomScoreAdj", -1000, 1000),
    _apparmor.string("/apparmorProfile"),
    _selinux.string("/selinuxLabel"),
)

_SCHEDULING: tuple[Property, ...] = (
    _scheduler.object("", "policy"),
    _scheduler.choice(
        "/policy",
        ("SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"),
    ),
    _scheduler.integer("/nice", "int32"),
    _scheduler.integer("/priority", "int32"),
    *_scheduler.choices(
        "/flags",
        (
            "SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_RECLAIM",
            "SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_KEEP_POLICY",
            "SCHED_FLAG_KEEP_PARAMS",
            "SCHED_FLAG_UTIL_CLAMP_MIN",
            "SCHED_FLAG_UTIL_CLAMP_MAX",
        ),
    ),
    _scheduler.integer("/runtime", "uint64"),
    _scheduler.integer("/deadline", "uint64"),
    _scheduler.integer("/period", "uint64"),
    _priority.object("", "class"),
    _priority.choice("/class", ("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE")),
    _priority.within("/priority", 0, 7),
    _affinity.object(""),
    _affinity.string("/initial", "cpu list"),
    _affinity.string("/final", "cpu list"),
)

ROWS: tuple[Property, ...] = (*_VERSION, *_PROCESS, *_SCHEDULING, *_MOUNTS, *_HOOKS, *_PLATFORMS)
