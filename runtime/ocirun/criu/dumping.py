"""`checkpoint`: the state of all processes of a container goes to image files, by `criu dump`.

Whatever fails leaves the container running as it was, and of the images nothing that was not there before; CRIU's log
stays, and the error names it.
"""

from __future__ import annotations

import os

from ocirun.criu import contents, messages, service
from ocirun.errors import Failure, failure
from ocirun.facts import Facts
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ocirun.cli import Arguments
    from ocirun.state import Entry

LOG: Final = "dump.log"
_LOG_LEVEL: Final = 4
_EVERYTHING_ELSE: Final = ("stats-dump", contents.DESCRIPTORS, contents.MANIFEST, "parent")


class Folder:
    """A directory of images or work files, made when it is missing.

    before: the names in it; `made` says that it was not there.
    """

    __slots__ = ("before", "fd", "made", "path")

    def __init__(self, path: str, option: str, make: bool = True) -> None:
        self.path = os.path.abspath(path)
        self.made = False
        try:
            if make and not os.path.isdir(self.path):
                os.makedirs(self.path, 0o700)
                self.made = True
            self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.before = frozenset(os.listdir(self.fd))
        except OSError as problem:
            raise failure(f"open the directory {self.path}", problem, where=option) from None

    def write(self, name: str, value: object) -> None:
        """A JSON file that only the runtime's user may read."""
        data = jsontext.dumps(value).encode("utf-8", "surrogateescape")
        try:
            fd = os.open(
                name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.fd
            )
            try:
                while data:
                    data = data[os.write(fd, data) :]
            finally:
                os.close(fd)
        except OSError as problem:
            raise failure(f"write {name}", problem, where=self.path) from None

    def read(self, name: str) -> Any:
        """The value of a JSON file; None when it is absent."""
        path = f"{self.path}/{name}"
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise failure("read the checkpoint", problem, where=path) from None
        from ocirun.bundle import read_open_json

        try:
            return read_open_json(fd, path, "the checkpoint")[1]
        finally:
            os.close(fd)

    def clear(self, log: str) -> None:
        """Remove what was added and is an image, and the directory when it was made and is empty then."""
        for name in os.listdir(self.fd):
            if name not in self.before and name != log and (name.endswith(".img") or name in _EVERYTHING_ELSE):
                os.unlink(name, dir_fd=self.fd)
        if self.made:
            try:
                os.rmdir(self.path)
            except OSError:
                return


def checkpoint(entry: Entry, arguments: Arguments) -> None:
    """Dump a running container; the lock is held. It has stopped then, unless it was to go on."""
    if entry.record.get("notify"):
        raise Failure("a container whose supervisor waits for its word cannot be checkpointed", where="$NOTIFY_SOCKET")
    config = jsontext.loads(entry.read("config.json").decode("utf-8", "surrogateescape"))
    pre = arguments.flag("pre-dump")
    asked = common(arguments)
    asked.update(_only_dump(arguments))
    images = Folder(arguments.text("image-path") or "checkpoint", "--image-path")
    work = Folder(arguments.text("work-path"), "--work-path") if arguments.text("work-path") else images
    pid: int = entry.record["pid"]
    asked.update(
        log_level=_LOG_LEVEL, log_file=LOG, pid=pid,
        root=entry.record["rootfs"], notify_scripts=True, orphan_pts_master=True, freeze_cgroup=_freezer(entry),
        manage_cgroups=bool(entry.record["cgroup"]),
    )  # fmt: skip
    try:
        asked.update(_parent(arguments, images))
        if not pre:
            asked.update(_describe(entry, config, images))
        running = service.Service((images.path, work.path))
        asked.update(images_dir_fd=running.folders[0], work_dir_fd=running.folders[1])
        try:
            answer = running.call(messages.PRE_DUMP if pre else messages.DUMP, asked, {})
            printed = running.printed()
        finally:
            running.end()
        if not answer.success:
            raise service.told("checkpoint the processes", work.fd, work.path, LOG, printed or answer.message)
    except BaseException:
        images.clear(LOG)
        raise


def common(arguments: Arguments) -> dict[str, Any]:
    """The options that mean the same for both commands."""
    mode = arguments.text("manage-cgroups-mode")
    return {
        "tcp_established": arguments.flag("tcp-established"),
        "ext_unix_sk": arguments.flag("ext-unix-sk"),
        "shell_job": arguments.flag("shell-job"),
        "file_locks": arguments.flag("file-locks"),
        "auto_dedup": arguments.flag("auto-dedup"),
        "lazy_pages": arguments.flag("lazy-pages"),
        "empty_ns": _empty(arguments.many("empty-ns")),
        "manage_cgroups_mode": messages.CGROUP_MODES[mode] if mode else None,
    }


def _empty(names: list[str]) -> int | None:
    from ocirun.kernel import process as kernel

    if wrong := [name for name in names if name != "network"]:
        raise Failure(f"{wrong[0]!r} cannot be left empty: only network can", where="--empty-ns")
    return kernel.CLONE_NEWNET if names else None


def _only_dump(arguments: Arguments) -> dict[str, Any]:
    asked: dict[str, Any] = {"leave_running": arguments.flag("leave-running")}
    if server := arguments.text("page-server"):
        address, colon, port = server.rpartition(":")
        if not (colon and address and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
            raise Failure(f"{server!r} is not ADDRESS:PORT", where="--page-server")
        asked["ps"] = messages.pair(address, int(port))
    status = arguments.text("status-fd", "-1")
    if status != "-1":
        if not arguments.flag("lazy-pages"):
            raise Failure("only with --lazy-pages there is a moment to tell of", where="--status-fd")
        try:
            os.fstat(int(status))
        except (ValueError, OSError):
            raise Failure(f"{status!r} is not an open descriptor", where="--status-fd") from None
        asked["status_fd"] = int(status)
    return asked


def _parent(arguments: Arguments, images: Folder) -> dict[str, Any]:
    """The images of an earlier pre-dump, relative to these; memory that did not change since is not written again."""
    path = arguments.text("parent-path")
    if not path:
        return {"track_mem": True} if arguments.flag("pre-dump") else {}
    if path.startswith("/"):
        raise Failure("it must be relative to --image-path", where="--parent-path")
    if not os.path.isdir(f"{images.path}/{path}"):
        raise Failure(f"{images.path}/{path} is not a directory", where="--parent-path")
    return {"parent_img": path, "track_mem": True}


def _freezer(entry: Entry) -> str | None:
    """The container's own cgroup with a freezer, by which CRIU stops all processes at once."""
    paths: dict[str, str] = (entry.record["cgroup"] or {}).get("paths") or {}
    return paths.get("freezer") or paths.get("unified")


def _describe(entry: Entry, config: dict[str, Any], images: Folder) -> dict[str, Any]:
    """Tell CRIU what is the host's, and write down what `restore` needs to know of it."""
    seen = contents.mounted(entry.record["pid"])
    bound = contents.externals(config, entry.record, Facts())
    covers = contents.covers(config, seen)
    keys, external = contents.descriptors(entry.record["pid"], seen)
    external += joined(config, entry.record["pid"])
    images.write(contents.DESCRIPTORS, keys)
    images.write(contents.MANIFEST, contents.manifest(config, covers))
    return {"ext_mnt": [messages.pair(each.destination, each.name) for each in (*bound, *covers)], "external": external}


def joined(config: dict[str, Any], pid: int) -> list[str]:
    """Network and pid namespaces that were given by path are others' too: they stay, and are joined again."""
    told = []
    for each in (config.get("linux") or {}).get("namespaces") or ():
        word = {"network": "net", "pid": "pid"}.get(each["type"])
        if word and each.get("path"):
            told.append(f"{word}[{os.stat(f'/proc/{pid}/ns/{word}').st_ino}]:{word}-0")
    return told
