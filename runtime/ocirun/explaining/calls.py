"""What a step asks of the kernel, by subsystem and function: its calls with their final arguments, as text.

A descriptor has a name instead of a number (`root` is the container's root, `proc` the host's procfs, `target` what was
opened just before). What happens only when a call has gone another way is left out, and so are close(2) and fstat(2).
"""

from __future__ import annotations

from ocirun.explaining.mounting import MOUNTING
from ocirun.explaining.words import (
    capability_names,
    device,
    namespaces,
    quoted,
    sequence,
    strings,
)
from ocirun.linux.cgroup.limits import Setting
from ocirun_spec.names import RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from ocirun.steps import Step

    Arguments = tuple[Any, ...]

_CAPABILITIES: Final = 41


def calls(step: Step) -> list[str]:
    """The calls of one step, in order."""
    made = CALLS[f"{step.room}.{step.deed}"]
    return made(step.args) if callable(made) else made


def _limit(settings: list[Any]) -> list[str]:
    """Files of the cgroup, or properties of the unit."""
    if settings and not isinstance(settings[0], Setting):
        return [f"SetUnitProperties({quoted(name)}, {value[1]})" for name, value in settings]
    return [f"write({quoted(each.file)}, {quoted(each.value)})" for each in settings]


def _devices(content: object) -> list[str]:
    if isinstance(content, bytes):
        return [f"bpf(BPF_PROG_LOAD, {len(content) // 8} instructions)", "bpf(BPF_PROG_ATTACH, BPF_CGROUP_DEVICE)"]
    assert isinstance(content, list)
    return [f"write({quoted(file)}, {quoted(value)})" for file, value in content]


def _create(args: Arguments) -> list[str]:
    goal = args[1]
    if isinstance(goal, str):
        return [f"mkdir({quoted(goal)}) in each hierarchy"]
    return [f"StartTransientUnit({quoted(goal.name)})"]


def _make_device(args: Arguments) -> list[str]:
    path, mode, number = args[:3]
    owner = [f"fchownat(node, {args[3][0]}, {args[3][1]})"] if any(args[3]) else []
    return [f"mknodat(root, {quoted(path)}, {device(mode, number)})", *owner]


def _cut_bounding(args: Arguments) -> list[str]:
    numbers = args[0]
    kept = [number for number in range(_CAPABILITIES) if number not in numbers]
    dropped = f"{capability_names(numbers)}" if len(numbers) <= len(kept) else f"all but {capability_names(kept)}"
    cut = [f"prctl(PR_CAPBSET_DROP, {dropped})"] if numbers else []
    return [*cut, "prctl(PR_SET_KEEPCAPS, 1)"]


def _set_capabilities(args: Arguments) -> list[str]:
    (effective, permitted, inheritable), ambient = args
    names = [capability_names([bit for bit in range(64) if mask >> bit & 1]) for mask in (effective, permitted)]
    inherited = capability_names([bit for bit in range(64) if inheritable >> bit & 1])
    first = f"capset(effective {names[0]}; permitted {names[1]}; inheritable {inherited})"
    return [first, *([f"prctl(PR_CAP_AMBIENT_RAISE, {capability_names(ambient)})"] if ambient else [])]


def _rlimit(resource: int, *values: int) -> str:
    name = next((key for key, number in RLIMITS.items() if number == resource), str(resource))
    shown = ["RLIM_INFINITY" if value == (1 << 64) - 1 else str(value) for value in values]
    return f"{name}, {', '.join(shown)}"


def _provide(args: Arguments) -> list[str]:
    rules = args[0].get("syscalls") or ()
    names = {name for rule in rules for name in rule["names"]}
    return [f"compile {args[0]['defaultAction']}, and rules for {len(names)} system calls; or take it out of the cache"]


def _execute(args: Arguments) -> list[str]:
    program = args[0]
    variables = [name + b"=" + value for name, value in program.env.items()]
    return [f"execve({quoted(program.found)}, {sequence(program.argv)}, {sequence(variables)})"]


def _scheduled(process: str) -> Callable[[Arguments], list[str]]:
    return lambda args: [f"sched_setattr({process}, {each.hex()})" for each in reversed(args) if each]


def _netdevice(args: Arguments) -> list[str]:
    return [f"RTM_NEWLINK({quoted(args[0].name)} to the container's namespace as {quoted(args[0].wanted)})"]


CALLS: Final[dict[str, Callable[[Arguments], list[str]] | list[str]]] = {
    **MOUNTING,
    "capabilities.cut_bounding": _cut_bounding,
    "capabilities.set_capabilities": _set_capabilities,
    "cgroup.allow_devices": lambda args: _devices(args[0]),
    "cgroup.attach": ["AttachProcessesToUnit(the container's process)"],
    "cgroup.close_doors": [],
    "cgroup.create": _create,
    "cgroup.end_keeper": ["pidfd_send_signal(keeper, SIGKILL)"],
    "cgroup.enter": lambda args: [
        *(['write("tasks", "0") in each hierarchy of version 1'] if args[0].wanted else []),
        *(["unshare(CLONE_NEWCGROUP)"] if args[1] else []),
    ],
    "cgroup.hand_over": lambda args: [f"fchownat(cgroup, {args[0]} of the user namespace, -1)"],
    "cgroup.limit": lambda args: _limit(args[0]),
    "cgroup.move_in": ['write("cgroup.procs", PID)'],
    "console.connect": lambda args: [f"connect({quoted(args[0])})"],
    "console.open_pty": lambda args: [
        'openat2(root, "dev/pts/ptmx", O_RDWR|O_NOCTTY)',
        "ioctl(master, TIOCGPTPEER)",
        *([f"ioctl(master, TIOCSWINSZ, {args[1][:4].hex()})"] if args[1] else []),
        *([f"fchown(slave, {args[2]}, -1)"] if args[2] else []),
        *(["open_tree(slave, OPEN_TREE_CLONE)", 'move_mount(copy, "dev/console")'] if args[3] else []),
        "sendmsg(master)", "setsid()", "ioctl(slave, TIOCSCTTY)", "dup3(slave, 0), dup3(slave, 1), dup3(slave, 2)",
    ],
    "credentials.own_stdio": lambda args: [f"fchown(0, {args[0]}, -1), fchown(1, …), fchown(2, …)"],
    "credentials.set_gid": lambda args: [f"setresgid({args[0]}, {args[0]}, {args[0]})"],
    "credentials.set_groups": lambda args: [
        f"setgroups({[int.from_bytes(args[0][at : at + 4], 'little') for at in range(0, len(args[0]), 4)]})"
    ],
    "credentials.set_uid": lambda args: [f"setresuid({args[0]}, {args[0]}, {args[0]})"],
    "credentials.set_umask": lambda args: [f"umask({args[0]:04o})"],
    "devices.bind": lambda args: [f"mknodat(root, {quoted(args[0])}, S_IFREG)", "move_mount(copy, target)"],
    "devices.copy_device": lambda args: [
        f"open({quoted(args[0])}, O_PATH|O_NOFOLLOW)", "open_tree(device, OPEN_TREE_CLONE)",
    ],
    "devices.find": lambda args: [
        f"openat2(root, {quoted(args[0])}, O_PATH), which has to be {device(args[1], args[2])}"
    ],
    "devices.link_standard": [
        'symlinkat("/proc/self/fd", dev, "fd"), and stdin, stdout, stderr; symlinkat("pts/ptmx", dev, "ptmx")'
    ],
    "devices.make": _make_device,
    "devices.make_outside": lambda args: [*_make_device(args), "open_tree(node, OPEN_TREE_CLONE)"],
    "hostname.set_domainname": lambda args: [f"setdomainname({quoted(args[0])})"],
    "hostname.set_hostname": lambda args: [f"sethostname({quoted(args[0])})"],
    "idmap.ask_tool": lambda args: [f"execve({quoted(args[0])}, PID {' '.join(strings(args[1]))})"],
    "idmap.become_root": lambda args: [
        f"setresgid({args[1]}, {args[1]}, {args[1]})", f"setresuid({args[0]}, {args[0]}, {args[0]})",
        "prctl(PR_SET_DUMPABLE, 0)",
    ],
    "idmap.deny_setgroups": ['write("/proc/PID/setgroups", "deny")'],
    "idmap.write_map": lambda args: [f'write("/proc/PID/{args[0].decode()}_map", {quoted(args[1])})'],
    "intelrdt.enter": ['write("tasks", PID)'],
    "intelrdt.make": lambda args: [
        f"mkdir({quoted(args[0].group)})", *(f'write("schemata", {quoted(line)})' for _, line in args[0].lines),
        *([f"mkdir({quoted(args[0].monitor)})"] if args[0].monitor else []),
    ],
    "keyring.join": lambda args: [f"keyctl(KEYCTL_JOIN_SESSION_KEYRING, {quoted(args[0])})"],
    "lifecycle.ask_for_hooks": [],
    "lifecycle.close_logs": [],
    "lifecycle.close_proc": ["close(proc)"],
    "lifecycle.run_hook": lambda args: [
        f"execve({quoted(args[0]['path'])}, {sequence(args[0].get('args') or [args[0]['path']])})"
    ],
    "lifecycle.set_no_new_privileges": ["prctl(PR_SET_NO_NEW_PRIVS, 1)"],
    "lifecycle.set_session": ["setsid()"],
    "lifecycle.stand_in_root": ["fchdir(root)"],
    "lsm.write": lambda args: [f"write(\"/proc/PID/{args[0][0].decode().removeprefix('self/')}\", {quoted(args[1])})"],
    "memorypolicy.set_policy": lambda args: [f"set_mempolicy({args[0]:#x}, {args[1].hex() or 'no nodes'})"],
    "namespaces.join": lambda args: [f"setns({quoted(args[0].args[1])}, {namespaces(args[0].args[0])})"],
    "namespaces.open_path": lambda args: [
        f"open({quoted(args[1])}, O_RDONLY)", f"ioctl(NS_GET_NSTYPE) is {namespaces(args[0])}",
    ],
    "namespaces.raise_loopback": ['ioctl(SIOCSIFFLAGS, "lo", IFF_UP)'],
    "netdevices.look": lambda args: [f"RTM_GETLINK({quoted(args[0].name)})", "RTM_GETADDR"],
    "netdevices.move": _netdevice,
    "oom.set_score": lambda args: [f'write("/proc/PID/oom_score_adj", "{args[0]}")'],
    "personality.become": lambda args: [f"personality({args[0]:#x})"],
    "program.complete_home": lambda args: ['open("/etc/passwd")'] if not args[0].env.get(b"HOME") else [],
    "program.enter_cwd": ["fchdir(cwd), if that was refused before"],
    "program.execute": _execute,
    "program.find": lambda args: [f"stat({quoted(args[0].argv[0])})" + ("" if b"/" in args[0].argv[0] else " in PATH")],
    "program.open_cwd": lambda args: [f"openat2(root, {quoted(args[0])}, O_PATH), or mkdirat(2)"],
    "program.pass_descriptors": lambda args: [f"ioctl(3 to {2 + args[0]}, FIONCLEX)"],
    "program.try_cwd": ["fchdir(cwd)"],
    "readiness.make_folder": ['mkdirat(state, "notify")'],
    "rlimits.raise_hard": lambda args: [f"prlimit64(PID, {_rlimit(*args)}), if it is lower"],
    "rlimits.set_limit": lambda args: [f"prlimit64(0, {_rlimit(*args)})"],
    "scheduler.prioritize": lambda args: [f"ioprio_set(IOPRIO_WHO_PGRP, 0, {args[0]:#x})"],
    "scheduler.prioritize_child": lambda args: [f"ioprio_set(IOPRIO_WHO_PROCESS, PID, {args[0]:#x})"],
    "scheduler.run_on": lambda args: [f"sched_setaffinity(0, {args[0].hex()})"],
    "scheduler.run_on_former": ["sched_setaffinity(0, the mask from before)"],
    "scheduler.schedule": _scheduled("0"),
    "scheduler.schedule_child": _scheduled("PID"),
    "scheduler.stay_on": lambda args: [f"sched_setaffinity(0, {args[0].hex()})"],
    "seccomp.load": ["seccomp(SECCOMP_SET_MODE_FILTER, the compiled filter)"],
    "seccomp.provide": _provide,
    "sysctl.compare": lambda args: [f'fstat(namespace) is not stat("/proc/self/ns/{args[1]}")'],
    "sysctl.write": lambda args: [f"write({quoted(b'/proc/' + args[0])}, {quoted(args[1])})"],
    "timens.shift_clocks": lambda args: [
        "unshare(CLONE_NEWTIME)", f'write("/proc/PID/timens_offsets", {quoted(args[0])})', "setns(time_for_children)",
    ],
}  # fmt: skip
