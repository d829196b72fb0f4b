"""`restore`: a container from a checkpoint. The cgroups are made as `create` makes them; the rest is CRIU's work.

    claim the id · save the record · make cgroups · make mount points · CRIU at its gate, moved into the cgroups
    setup-namespaces: prestart and createRuntime hooks · orphan-pts-master: the terminal goes to who holds it
    post-restore: the mounts are checked, the record says running · CRIU lets the processes go on

The first process becomes the runtime's own child, as after a clone (CRIU's rst_sibling). Whatever fails, `destroy.undo`
takes everything back.
"""

from __future__ import annotations

import _socket
import os
import stat

from ocirun import destroy, foreground, hooks, parent, state
from ocirun.criu import contents, messages, service
from ocirun.criu.dumping import Folder, common
from ocirun.errors import Failure, failure
from ocirun.facts import Facts
from ocirun.kernel import files, mount
from ocirun.kernel import process as kernel
from ocirun.linux import cgroup, console, namespaces
from ocirun.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.bundle import Bundle
    from ocirun.cli import Arguments
    from ocirun.criu.contents import External
    from ocirun.linux.namespaces import Namespaces
    from ocirun.parent import Host
    from ocirun.request import Request

LOG: Final = "restore.log"
_LOG_LEVEL: Final = 4
_SPACES: Final = {"uts": "uts", "ipc": "ipc", "mount": "mnt", "user": "user"}
"""Namespaces that CRIU joins by path when it begins, by its names for them."""


class Restoring:
    """One restore: what CRIU's moments need.

    wanted:    the mounts of the host's that the container has to have.
    connected: the engine's console socket, as a step, when there is one.
    """

    __slots__ = ("bundle", "connected", "host", "request", "spaces", "wanted")

    def __init__(self, host: Host, bundle: Bundle, request: Request, spaces: Namespaces) -> None:
        self.host = host
        self.spaces = spaces
        self.bundle = bundle
        self.request = request
        self.connected = console.prepare(request.console_socket)
        self.wanted: list[External] = []

    def set_up(self, pid: int, _fd: int) -> None:
        """The namespaces are there and empty: the hooks may furnish them."""
        self._record_process(pid)
        configured: dict[str, Any] = self.bundle.config.get("hooks") or {}
        document = parent.state_json(self.host.entry, state.CREATING)
        for name in ("prestart", "createRuntime"):
            hooks.run_all(configured.get(name) or [], f"/hooks/{name}", document, self.host.record)

    def take_terminal(self, _pid: int, fd: int) -> None:
        """The master of a terminal whose master was outside."""
        if fd < 0 or self.host.terminal >= 0:
            raise Failure("restore the terminal: CRIU has sent no master, or more than one")
        if self.connected:
            link = _socket.socket(fileno=os.dup(self.connected[0].fd))
            try:
                rights = fd.to_bytes(4, "little")
                link.sendmsg([b"/dev/ptmx"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
            except OSError as problem:
                raise failure("send the terminal", problem, where="--console-socket") from None
            finally:
                link.close()
            return
        self.host.terminal = os.dup(fd)
        os.set_inheritable(self.host.terminal, False)
        foreground.copy_size(self.host.terminal)

    def check(self, pid: int, _fd: int) -> None:
        """All is restored, and nothing runs yet. What is wrong here makes CRIU kill it.

        SECURITY: before the processes run: afterwards they could have changed their mounts, or used them.
        """
        config, seen = self.bundle.config, contents.mounted(pid)
        wanted = [*self.wanted, *contents.covers(config, seen)]
        readonly = [("/", mount.MOUNT_ATTR_RDONLY)] if config["root"].get("readonly") else []
        if places := readonly + contents.lost(wanted, seen):
            _protect(pid, places)
        contents.check_flags(wanted, contents.mounted(pid))
        self._record_process(pid)
        self.host.record["phase"] = state.RUNNING
        self.host.save()

    def _record_process(self, pid: int) -> None:
        host = self.host
        if host.record["pid"] != pid or host.pidfd < 0:
            host.pid = pid
            host.pidfd = kernel.pidfd_open(pid)
            host.record["pid"] = pid
            host.record["start"] = kernel.start_time(pid)
            host.save()


def restore(bundle: Bundle, request: Request, arguments: Arguments) -> Host:
    """Restore the container; succeeds whole or leaves nothing behind but CRIU's log."""
    config = bundle.config
    images = Folder(arguments.text("image-path") or "checkpoint", "--image-path", make=False)
    work = Folder(arguments.text("work-path"), "--work-path") if arguments.text("work-path") else images
    before = images.read(contents.MANIFEST)
    if before is None:
        raise Failure(f"there is no checkpoint that ocirun has made in {images.path}", where="--image-path")
    contents.compare(config, before)
    asked = common(arguments)
    facts = Facts()
    spaces = namespaces.Namespaces(config)
    plan = Plan(spaces)
    grouped = cgroup.prepare(config, facts, request.ident, request.systemd_cgroup)
    entry = state.claim(request.root, request.ident)
    try:
        entry.record = parent.first_record(bundle, request)
        host = parent.Host(entry, plan)
    except BaseException:
        entry.remove()
        raise
    try:
        host.save()
        entry.write("config.json", bundle.text.encode("utf-8", "surrogateescape"))
        work_on = Restoring(host, bundle, request, spaces)
        plan.outside = [*namespaces.prepare(spaces), *work_on.connected, *grouped]
        plan.adopt = cgroup.adopt(config, facts, grouped)
        plan.ready = cgroup.ready(grouped)
        _do(work_on, facts, asked, images, work, before, arguments)
        if request.pid_file:
            parent.write_pid_file(request.pid_file, host.pid)
    except BaseException as problem:
        failed = isinstance(problem, Failure) and problem.where.startswith("/hooks/")
        destroy.undo(host, run_poststop=failed)
        raise
    return host


def _do(
    work_on: Restoring, facts: Facts, asked: dict[str, Any], images: Folder, work: Folder, before: dict[str, Any],
    arguments: Arguments,
) -> None:  # fmt: skip
    host = work_on.host
    plan = host.plan
    config = work_on.bundle.config
    parent.do_outside(plan.outside, host)
    _make_mount_points(host, config)
    work_on.wanted = contents.externals(config, host.record, facts)
    inherited = _inherited(images)
    fds = {fd: _brought(key, fd) for key, fd in inherited}
    held = [*fds.values(), *(step.fd for step in work_on.spaces.opened.values())]
    running = service.Service((images.path, work.path), held, host.record["rootfs"])
    try:
        host.pid = running.pid
        if host.record["cgroup"]:
            cgroup.join(host.record["cgroup"], running.pid)
        parent.do_outside(plan.adopt, host)
        host.pid = 0
        asked.update(
            images_dir_fd=running.folders[0], work_dir_fd=running.folders[1], log_level=_LOG_LEVEL, log_file=LOG,
            root=host.record["rootfs"], rst_sibling=True, evasive_devices=True, notify_scripts=True,
            orphan_pts_master=True, manage_cgroups=bool(host.record["cgroup"]),
            cg_root=_cgroup_roots(running.pid) if host.record["cgroup"] else None,
            ext_mnt=_sources(work_on.wanted, config, before),
            inherit_fd=[messages.pair(key, fds[fd]) for key, fd in inherited] + _joined(work_on.spaces),
            join_ns=_by_path(config),
            lsm_profile=arguments.text("lsm-profile") or None,
            lsm_mount_context=arguments.text("lsm-mount-context") or None,
        )  # fmt: skip
        listeners = {
            "setup-namespaces": work_on.set_up,
            "orphan-pts-master": work_on.take_terminal,
            "post-restore": work_on.check,
        }
        answer = running.call(messages.RESTORE, asked, listeners)
        printed = running.printed()
    finally:
        running.end()
        for fd in fds.values():
            os.close(fd)
    if not answer.success:
        raise service.told("restore the processes", work.fd, work.path, LOG, printed or answer.message)
    parent.do_outside(plan.ready, host)
    for fd in (*(step.fd for step in work_on.connected), host.cgroup_fd):
        if fd >= 0:
            os.close(fd)
    host.cgroup_fd = -1


def _make_mount_points(host: Host, config: dict[str, Any]) -> None:
    """In a root that was never used the mount points are missing; below another mount they are CRIU's to restore."""
    destinations = [files.clean(entry["destination"]) for entry in config.get("mounts") or ()]
    root = os.open(host.record["rootfs"], os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for at, destination in enumerate(destinations):
            if any(destination.startswith(f"{above}/") for above in destinations):
                continue
            entry = config["mounts"][at]
            source = os.path.join(host.record["bundle"], entry.get("source") or "")
            plain = contents.is_bind(entry) and not os.path.isdir(source)
            place = os.fsencode(destination)
            try:
                fd = files.open_in_root(root, place)
            except OSError:
                fd = files.make_file(root, place) if plain else files.make_directories(root, place)
            os.close(fd)
    except OSError as problem:
        raise failure("make the mount points", problem, where="/mounts") from None
    finally:
        os.close(root)
        host.made += files.made
        files.made.clear()


def _sources(wanted: list[External], config: dict[str, Any], before: dict[str, Any]) -> list[messages.Message]:
    """Where each name is on this host. SECURITY: the paths are the configuration's, never the checkpoint's."""
    found = [messages.pair(each.name, each.source) for each in wanted]
    names = set(contents.covers_of(before))
    devices = (config.get("linux") or {}).get("devices") or ()
    places = {f"device-{at}": files.clean(entry["path"]) for at, entry in enumerate(devices)}
    places.update({f"default-{name}": f"/dev/{name}" for name in contents.DEFAULT_DEVICES})
    places["null"] = "/dev/null"
    return found + [messages.pair(name, path) for name, path in places.items() if name in names]


def _inherited(images: Folder) -> list[tuple[str, int]]:
    """Key and number of the caller's descriptor for each that was not the container's own."""
    keys = images.read(contents.DESCRIPTORS)
    if not isinstance(keys, list):
        return []
    found = {key: fd for fd, key in reversed(list(enumerate(keys[:3]))) if contents.inheritable(key)}
    return list(found.items())


def _brought(key: str, fd: int) -> int:
    """A copy of the caller's descriptor; the null device again where CRIU, which seeks in it, would be given a pipe."""
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    null = f":{os.stat('/dev/null').st_ino:x}]"
    if key.startswith("file[") and key.endswith(null) and kind in (stat.S_IFIFO, stat.S_IFSOCK):
        return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    return os.dup(fd)


def _joined(spaces: Namespaces) -> list[messages.Message]:
    """Network and pid namespaces by path: the descriptor that stands for the one of the checkpoint."""
    found = []
    for word, flag in (("net", kernel.CLONE_NEWNET), ("pid", kernel.CLONE_NEWPID)):
        if flag in spaces.opened:
            found.append(messages.pair(f"{word}-0", spaces.opened[flag].fd))
    return found


def _by_path(config: dict[str, Any]) -> list[messages.Message]:
    found = []
    for at, each in enumerate((config.get("linux") or {}).get("namespaces") or ()):
        if each.get("path") and each["type"] not in ("network", "pid"):
            if each["type"] not in _SPACES:
                what = f"CRIU cannot join the {each['type']} namespace {each['path']}"
                raise Failure(what, where=f"/linux/namespaces/{at}/path")
            found.append(messages.pair(_SPACES[each["type"]], each["path"]))
    return found


def _cgroup_roots(pid: int) -> list[messages.Message]:
    """Where the container's cgroups are, in each hierarchy: those of CRIU, which was moved there.

    Lines of /proc/PID/cgroup (cgroups(7)): ``number:controllers:path``, without controllers for cgroup2.
    """
    fd = os.open(f"/proc/{pid}/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.fsdecode(os.read(fd, 1 << 16))
    finally:
        os.close(fd)
    roots = []
    for line in text.splitlines():
        _number, controllers, path = line.split(":", 2)
        roots += [messages.pair(each or None, path) for each in controllers.split(",")]
    return roots


def _protect(pid: int, places: list[tuple[str, int]]) -> None:
    """Give mounts flags that CRIU leaves out, by a child that enters the container's mount namespace.

    places: path in the container, and MOUNT_ATTR_* to set.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            space = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            kernel.setns(space, kernel.CLONE_NEWNS)
            for path, flags in places:
                mount.mount_setattr(root if path == "/" else files.open_in_root(root, os.fsencode(path)), 0, flags)
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        raise Failure(f"restore the flags of the mounts on {', '.join(path for path, _ in places)}", where="/mounts")
