"""The plan: every deed of a `create`, `run` or `exec`, in the one order, with the reason beside it.

Nothing here changes the host. `outside` is done by the parent before the clone, `adopt` by the parent once the
container's process exists and waits, `inside` by that process, `ready` by the parent when that is done, `launch` by the
process when `start` has come. `explain` prints these lists, an error names the step in them, and the tests read them
without root.
"""

from __future__ import annotations

from ocirun.errors import Failure, NotSupported
from ocirun.kernel import process as kernel
from ocirun.linux import (
    capabilities,
    cgroup,
    console,
    credentials,
    devices,
    hostname,
    idmap,
    keyring,
    lifecycle,
    lsm,
    masks,
    mounts,
    namespaces,
    oom,
    program,
    rlimits,
    rootfs,
    sysctl,
)
from ocirun.linux.cgroup import mounts as cgroup_mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from ocirun.bundle import Bundle
    from ocirun.facts import Facts
    from ocirun.request import Request
    from ocirun.steps import InsideStep, OutsideStep

    class Spaces(Protocol):
        """How the clone gets into namespaces: made and joined ones for `create`, a running container's for `exec`."""

        new: int

        @property
        def needs_middle(self) -> bool: ...  # noqa: D102
        def private(self, flag: int) -> bool: ...  # noqa: D102

        def enter_for_children(self) -> list[int]: ...  # noqa: D102
        def leave(self, own: list[int]) -> None: ...  # noqa: D102
        def join_all(self) -> None: ...  # noqa: D102


_OTHER_PLATFORMS = ("windows", "solaris", "vm", "zos", "freebsd")


class Plan:
    """The five lists, and what the clone itself needs.

    needs_proc: whether a process that enters a container still needs the host's procfs there.
    """

    __slots__ = ("adopt", "inside", "launch", "namespaces", "needs_proc", "outside", "ready")

    def __init__(self, spaces: Spaces) -> None:
        self.namespaces = spaces
        self.needs_proc = True
        self.outside: list[OutsideStep] = []
        self.adopt: list[OutsideStep] = []
        self.inside: list[InsideStep] = []
        self.ready: list[OutsideStep] = []
        self.launch: list[InsideStep] = []

    def step(self, number: int) -> InsideStep | None:
        """The container's step of that number: `inside`, then `launch`; None for what lies before the first."""
        both = [*self.inside, *self.launch]
        return both[number] if 0 <= number < len(both) else None


class ProcessPlan:
    """What a process object becomes: used by `create` for process and by `exec`, without hooks, for its own."""

    __slots__ = ("adopt", "enter", "launch", "outside")

    def __init__(
        self,
        config: dict[str, Any],
        process: dict[str, Any],
        pointer: str,
        facts: Facts,
        request: Request,
        userns: bool,
        hooks: dict[str, Any],
    ) -> None:
        _refuse_windows(process, pointer)
        profile = (config.get("linux") or {}).get("seccomp")
        filtered = bool(profile)
        late = filtered and not process.get("noNewPrivileges")
        listen = program.listen_variables(request.listen_fds)
        if request.notify:
            from ocirun.linux import readiness

            listen |= readiness.environment()
        what = program.Program(process, listen)
        may_setgroups = not userns or idmap.may_setgroups(config, facts)
        keep = credentials.keeps_groups(config)
        bounding, grant, drop = capabilities.plan(process, facts, pointer, userns, late)
        self.outside: list[OutsideStep] = []
        scheduled, prioritized = _scheduling(process, pointer, userns)
        self.adopt = [*oom.adopt(process, pointer), *rlimits.adopt(process, pointer), *scheduled]
        self.enter = [
            *_memory_and_domain(config),  # before any filter, which may forbid the calls
            *prioritized,  # in the cgroup, which decides on real-time policies; while CAP_SYS_NICE is there
            *program.early(pointer),  # while the runtime's user is there
            bounding,  # while CAP_SETPCAP is there
            *credentials.plan(process, pointer, may_setgroups, keep),  # while CAP_SETUID and CAP_SETGID are there
            grant,  # after the user changed: setresuid(2) clears the effective set
            *lifecycle.no_new_privileges(process, pointer),  # before any filter, which depends on it
            *program.inside(what, pointer),  # with the program's own rights
        ]
        kept = request.preserve_fds + request.listen_fds
        seal = [program.keep_descriptors(kept)] if kept else []
        self.launch: list[InsideStep] = [
            *lsm.launch(process, pointer),  # before the filter, which may forbid writing
            *rlimits.launch(process, pointer),  # a small limit would starve the set-up
            *self._filtered(profile, seal, hooks, request.cache),  # all that comes later must pass the filter
            *([drop] if drop else []),  # CAP_SYS_ADMIN was kept for the filter alone
            program.launch(what, pointer),
        ]

    def _filtered(
        self, profile: dict[str, Any] | None, seal: list[InsideStep], hooks: dict[str, Any], cache: str
    ) -> list[InsideStep]:
        """The startContainer hooks, `seal` and the filter of `profile`.

        SECURITY: these hooks are the image's programs, so what confines the program confines them. Each loads the
        filter itself, so that what runs a hook need not pass; one with a listener (told once) is loaded before.
        """
        if not profile:
            return lifecycle.before_program(hooks, None) + seal
        from ocirun.linux import seccomp

        provide, load = seccomp.plan(profile, "/linux/seccomp", cache)
        self.outside.append(provide)
        if seccomp.notifies(profile):
            return [*seal, load, *lifecycle.before_program(hooks, None)]
        return [*lifecycle.before_program(hooks, load), *seal, load]


def compose(bundle: Bundle, facts: Facts, request: Request) -> Plan:
    """The plan of a `create` or `run`."""
    config = bundle.config
    _refuse_other_platforms(config)
    process, hooks = config.get("process"), config.get("hooks") or {}
    spaces = namespaces.Namespaces(config)
    plan = Plan(spaces)
    userns = spaces.private(kernel.CLONE_NEWUSER)
    root = rootfs.prepare(config, bundle.path, facts)
    copied, views, mounted, covers = _mounts(config, bundle.path, facts)
    told, heard = _readiness(request, facts)
    borrowed, made = _devices(config, facts, userns)
    terminal = console.prepare(request.console_socket)
    settled = ProcessPlan(config, process, "/process", facts, request, userns, hooks) if process else None
    grouped = cgroup.prepare(config, facts, request.ident, request.systemd_cgroup)
    looked, classed, arriving = _seldom(config, spaces, facts, request.ident)
    plan.outside = [
        *namespaces.prepare(spaces),  # reading only: what can be refused is refused before anything is made
        *looked,  # also at the namespace just opened
        root,
        *terminal,
        *(settled.outside if settled else []),
        *copied,
        *told,
        *borrowed,
        *grouped,  # the first that changes the host
        *classed,
        *views,  # which show what was just made
    ]
    mapped = idmap.adopt(config, facts) if spaces.new & kernel.CLONE_NEWUSER else []
    plan.adopt = [
        *mapped,  # nothing is root before it is mapped
        *cgroup.adopt(config, facts, grouped),  # what must wait for the process
        *(settled.adopt if settled else []),
        *arriving,  # last: a device that moves loses its routes, so what may fail has not failed
    ]
    plan.inside = [
        *cgroup.inside(config, grouped),  # before the process allocates or forks
        *_into_namespaces(config, spaces, request),
    ]
    if spaces.private(kernel.CLONE_NEWNS):
        plan.inside += [
            *rootfs.attach(root, config, facts),
            *mounted,
            *heard,
            *made,  # /dev is one of the mounts
            *(console.inside(process, "/process", terminal, True) if process else []),  # its devpts too
            *([program.working_directory(process, "/process")] if process else []),  # before the root is read-only
            *covers,  # after all mounts, so that none lies on top
            *lifecycle.before_pivot(hooks),  # the environment is made, the host's tree visible
            *(*mounts.finish(config), *rootfs.finish(config)),  # hooks make devices and mounts too
            *lifecycle.leave_proc(process),  # no process of the container finds anything of the host's procfs
            rootfs.pivot(request.no_pivot, True),
            *(*rootfs.propagate(config), *mounts.again(config)),  # pivot_root(2) refuses a shared root
        ]
    else:
        plan.inside += _without_mounts(config, root, request)
    _finish(plan, config, settled, grouped)
    return plan


def _finish(plan: Plan, config: dict[str, Any], settled: ProcessPlan | None, grouped: list[OutsideStep]) -> None:
    """What comes last: on the container's side the process that becomes the program."""
    plan.ready = cgroup.ready(grouped)
    plan.inside += lifecycle.new_session(config.get("process"))
    if settled:
        plan.inside += settled.enter
        plan.launch = settled.launch


def _seldom(
    config: dict[str, Any], spaces: namespaces.Namespaces, facts: Facts, ident: str
) -> tuple[list[OutsideStep], list[OutsideStep], list[OutsideStep]]:
    """(what only looks, what is made before the clone, what is done after it) for the members that few configs have.

    Their modules are loaded only then.
    """
    linux: dict[str, Any] = config.get("linux") or {}
    looked: list[OutsideStep] = []
    made: list[OutsideStep] = []
    after: list[OutsideStep] = []
    if linux.get("intelRdt") is not None:  # an empty object asks for a class of service too
        from ocirun.linux import intelrdt

        made, after = intelrdt.plan(config, ident, facts.resctrl)
    if linux.get("netDevices"):
        from ocirun.linux import netdevices

        private = spaces.private(kernel.CLONE_NEWNET)
        looked, moved = netdevices.plan(config, private, spaces.opened.get(kernel.CLONE_NEWNET), facts)
        after = [*after, *moved]
    if spaces.opened:
        looked = [*looked, *sysctl.outside(config, spaces.opened)]
    return looked, made, after


def _mounts(
    config: dict[str, Any], bundle: str, facts: Facts
) -> tuple[list[OutsideStep], list[OutsideStep], list[InsideStep], list[InsideStep]]:
    """What the parent copies, what it describes when the cgroups are there, what is mounted, what is covered after."""
    label = lsm.mount_label(config)
    shared = rootfs.stays_shared(config)
    copied, mounted, views = mounts.plan(
        config, bundle, facts.may_mount, shared, lambda record: cgroup_mounts.describe(facts, config, record), label
    )
    return copied, views, mounted, masks.inside(config, label)


def _readiness(request: Request, facts: Facts) -> tuple[list[OutsideStep], list[InsideStep]]:
    if not request.notify:
        return [], []
    from ocirun.linux import readiness

    source = readiness.folder(request)
    copied, attached = mounts.bind(source, readiness.DESTINATION, readiness.OPTIONS, readiness.POINTER, facts.may_mount)
    return [readiness.prepare(request), *copied], attached


def _devices(config: dict[str, Any], facts: Facts, userns: bool) -> tuple[list[OutsideStep], list[InsideStep]]:
    """The devices; a bind mount on /dev has to bring its own."""
    brought = mounts.provides(config, "/dev")
    return devices.plan(config, facts.initial_userns and not userns, facts.may_mount, facts.initial_userns, brought)


def _scheduling(process: dict[str, Any], pointer: str, userns: bool) -> tuple[list[OutsideStep], list[InsideStep]]:
    """The parent's and the process's own steps; the room is loaded only when there are any."""
    if not (process.get("scheduler") or process.get("ioPriority")):
        return [], []
    from ocirun.linux import scheduler

    return scheduler.adopt(process, pointer, userns), scheduler.inside(process, pointer, userns)


def _memory_and_domain(config: dict[str, Any]) -> list[InsideStep]:
    """What a process inherits for its memory and its uname(2); `exec` does it again for its own."""
    linux: dict[str, Any] = config.get("linux") or {}
    steps: list[InsideStep] = []
    if policy := linux.get("memoryPolicy"):
        from ocirun.linux import memorypolicy

        steps += memorypolicy.inside(policy)
    if domain := linux.get("personality"):
        from ocirun.linux import personality

        steps += personality.inside(domain)
    return steps


def _clocks(config: dict[str, Any]) -> list[InsideStep]:
    if not (config.get("linux") or {}).get("timeOffsets"):
        return []
    from ocirun.linux import timens

    return timens.inside(config)


def _into_namespaces(config: dict[str, Any], spaces: namespaces.Namespaces, request: Request) -> list[InsideStep]:
    """What needs no mount: the namespaces themselves and what belongs to them."""
    return [
        *namespaces.inside(spaces),  # everything later acts in the final namespaces
        *_clocks(config),  # with the runtime's user, whose the process's files in /proc are
        *(idmap.inside(config) if spaces.private(kernel.CLONE_NEWUSER) else []),  # what is made belongs to its root
        *([] if request.no_new_keyring else keyring.inside(request.ident)),
        *hostname.inside(config),
        *sysctl.inside(config),  # through the host's procfs, before there is another
    ]


def _without_mounts(config: dict[str, Any], root: OutsideStep, request: Request) -> list[InsideStep]:
    """The root where there is no mount namespace: chroot(2) into the plain directory."""
    refuse_mounts(config, request.notify)
    process = config.get("process")
    return [
        rootfs.enter_plain(root),
        *([program.working_directory(process, "/process")] if process else []),
        *lifecycle.before_pivot(config.get("hooks") or {}),
        *lifecycle.leave_proc(process),
        rootfs.pivot(request.no_pivot, False),
    ]


def _refuse_other_platforms(config: dict[str, Any]) -> None:
    """config.md lets a configuration have these only for the platform that they name."""
    for name in _OTHER_PLATFORMS:
        if config.get(name):
            raise NotSupported(f"the configuration is made for {name}, not for Linux", where=f"/{name}")


def _refuse_windows(process: dict[str, Any], pointer: str) -> None:
    if process.get("commandLine"):
        raise NotSupported("a command line is for Windows only; Linux has args", where=f"{pointer}/commandLine")
    if (process.get("user") or {}).get("username"):
        raise NotSupported("a user's name is for Windows only; Linux has uid and gid", where=f"{pointer}/user/username")


def refuse_mounts(config: dict[str, Any], notify: bool) -> None:
    """Without a mount namespace every mount would be the host's: refused, not applied to the host."""
    linux: dict[str, Any] = config.get("linux") or {}
    wanted = (
        ("/mounts", config.get("mounts")),
        ("/linux/maskedPaths", linux.get("maskedPaths")),
        ("/linux/readonlyPaths", linux.get("readonlyPaths")),
        ("/linux/devices", linux.get("devices")),
        ("/root/readonly", config["root"].get("readonly")),
        ("/linux/rootfsPropagation", linux.get("rootfsPropagation")),
        ("$NOTIFY_SOCKET", notify),
    )
    for pointer, value in wanted:
        if value:
            raise Failure("it needs a mount namespace, and linux.namespaces has none", where=pointer)
