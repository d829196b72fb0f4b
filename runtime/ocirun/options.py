"""The command line as data: one table of commands and options. Reader, help, manual page and completion follow from it.

It is read at every call of the program: what only people want to know is in `manual`.

The ways runc's users write an option all work: ``--name value``, ``--name=value``, ``-name`` (containerd passes
``-no-subreaper``), ``-n value``, ``-n=value``, before or after the positional arguments; ``--`` ends the options.
After the container id of `exec` and `ps` everything belongs to the program.
"""

from __future__ import annotations

from ocirun.errors import EXIT_ERROR, EXIT_EXEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

FLAG: Final = "flag"
TEXT: Final = "text"
MANY: Final = "many"
NUMBER: Final = "number"
FILE: Final = "file"
DIRECTORY: Final = "directory"


class Option:
    """One option: its names (long first), what it takes, and its help; a hidden one is not listed.

    kind: one of the constants above, or the words to choose from, as ``table|json``.
    """

    __slots__ = ("help", "hidden", "kind", "name", "short")

    def __init__(self, name: str, kind: str, text: str, short: str = "", hidden: bool = False) -> None:
        self.name = name
        self.short = short
        self.kind = kind
        self.help = text
        self.hidden = hidden

    @property
    def words(self) -> list[str]:
        """What it takes, when that is one of some words."""
        return self.kind.split("|") if "|" in self.kind else []


class Command:
    """One command. `least` and `most` count the positionals (-1: no end).

    tail: after the first positional, and options behind it, what follows is the program's; with `strict` it is itself.
    error: the exit code of all that fails, where 1 is an answer; else 0.
    code: how it exits when it fails, once its command line is read.
    library: it loads libseccomp, which the launcher cannot (`cold.begin_again`).
    """

    __slots__ = ("code", "error", "help", "least", "library", "most", "name", "options", "strict", "tail", "usage")

    def __init__(
        self,
        name: str,
        usage: str,
        text: str,
        options: tuple[Option, ...],
        least: int,
        most: int,
        tail: bool = False,
        error: int = 0,
        code: int = EXIT_ERROR,
        strict: bool = False,
        library: bool = False,
    ) -> None:
        self.name = name
        self.usage = usage
        self.help = text
        self.options = options
        self.least = least
        self.most = most
        self.tail = tail
        self.error = error
        self.code = code
        self.strict = strict
        self.library = library

    @property
    def module(self) -> str:
        """The module that does it."""
        return f"ocirun.commands.{self.name.replace('-', '_')}"


HELP: Final = Option("help", FLAG, "print this help", "h")
"""Of every command too."""

GLOBAL: Final = (
    Option("root", DIRECTORY, "directory of the containers' state"),
    Option("log", FILE, "file for log records"),
    Option("log-format", "text|json", "form of the log records"),
    Option("log-fd", TEXT, "descriptor for log records and errors, as JSON, with nothing on stderr", hidden=True),
    Option("debug", FLAG, "log the runtime's steps and their time"),
    Option("systemd-cgroup", FLAG, "let systemd manage the cgroups"),
    Option("rootless", "true|false|auto", "accepted; what the caller may do is found out by trying"),
    Option("version", FLAG, "print the version", "v"),
    HELP,
)

_CREATE: Final = (
    Option("bundle", DIRECTORY, "the bundle's directory; default: the current one", "b"),
    Option("console-socket", FILE, "AF_UNIX socket that receives the terminal's master"),
    Option("pidfd-socket", FILE, "AF_UNIX socket that receives a pidfd of the container's process"),
    Option("pid-file", FILE, "file for the container's process id"),
    Option("no-pivot", FLAG, "enter the root without pivot_root(2)"),
    Option("no-new-keyring", FLAG, "keep the caller's session keyring"),
    Option("preserve-fds", NUMBER, "pass file descriptors 3 .. 3+N-1 on"),
    Option("trace", FILE, "file for the time of each step, as Perfetto, chrome://tracing and `trace` read it"),
)

_PLANNED: Final = (
    *(each for each in _CREATE if each.name in ("bundle", "no-pivot", "no-new-keyring")),
    Option("id", TEXT, "the container's id; default: ID"),
)
"""Of commands that only plan: what changes a plan."""

_UPDATE: Final = (
    Option("resources", FILE, "file with a linux.resources object (config-linux.md), - is standard input", "r"),
    Option("blkio-weight", TEXT, "weight of block devices, 10 to 1000"),
    Option("cpu-period", TEXT, "period of the quota in microseconds"),
    Option("cpu-quota", TEXT, "microseconds that it may run in a period, -1 for no limit"),
    Option("cpu-burst", TEXT, "microseconds that it may add from earlier periods"),
    Option("cpu-share", TEXT, "relative share of the processors, 2 to 262144"),
    Option("cpu-rt-period", TEXT, "period of the realtime budget in microseconds"),
    Option("cpu-rt-runtime", TEXT, "realtime budget in microseconds"),
    Option("cpuset-cpus", TEXT, "processors, such as 0-3,5"),
    Option("cpuset-mems", TEXT, "memory nodes, such as 0-1"),
    Option("cpu-idle", TEXT, "1: only when nothing else wants to run; 0: as usual"),
    Option("memory", TEXT, "memory in bytes or with a suffix such as m or g, -1 for no limit"),
    Option("memory-reservation", TEXT, "memory that reclaim leaves to it, when it can"),
    Option("memory-swap", TEXT, "memory plus swap, -1 for no limit"),
    Option("pids-limit", TEXT, "number of processes and threads, -1 for no limit"),
    Option("l3-cache-schema", TEXT, "schema of its class of service for the L3 cache (Intel RDT)"),
    Option("mem-bw-schema", TEXT, "schema of its class of service for memory bandwidth (Intel RDT)"),
    Option("kernel-memory", TEXT, "memory of the kernel for it, before Linux 5.16", hidden=True),
    Option("kernel-memory-tcp", TEXT, "buffers of its TCP sockets, on cgroup v1", hidden=True),
)

_REGEX: Final = Option("regex", FLAG, "ID is a regular expression, for all containers whose id has a match", "r")

_DO: Final = (
    Option("rootfs", DIRECTORY, "directory that becomes the root; default: the host's root; read-only either way"),
    Option("bind", MANY, "SRC[:DST]: show a file or directory of the host, writable"),
    Option("ro-bind", MANY, "SRC[:DST]: the same read-only"),
    Option("tmpfs", MANY, "an empty directory in memory; /tmp, /run and /var/tmp are one anyway"),
    Option("network", "none|host", "default: none"),
    Option("memory", TEXT, "memory in bytes or with a suffix such as m or g, -1 for no limit; default: 512m"),
    Option("pids", TEXT, "number of processes and threads, -1 for no limit; default: 256"),
    Option("cpus", TEXT, "number of processors that it may keep busy, such as 0.5; default: all"),
    Option("seccomp", FILE, "file with a linux.seccomp object (config-linux.md); default: a list of what is refused"),
    Option("user", TEXT, "UID[:GID]; default: the caller, for root nobody (65534)", "u"),
    Option("cwd", TEXT, "working directory; default: the current one, or / where that is not to be seen"),
    Option("env", MANY, "NAME=VALUE to add to PATH, HOME, TERM and LANG", "e"),
    Option("hostname", TEXT, "default: sandbox"),
    Option("id", TEXT, "the container's id; default: do- and one of its own"),
    Option("timeout", TEXT, "seconds until it is killed, with exit code 124"),
    Option("tty", FLAG, "give it a terminal; default: if the caller sits at one", "t"),
    Option("print-config", FLAG, "print the config.json instead of running it"),
)

_MOUNTS: Final = (
    Option("bind", MANY, "add: SRC[:DST], a file or directory of the host, writable"),
    Option("ro-bind", MANY, "add: the same read-only"),
    Option("tmpfs", MANY, "add: an empty directory in memory"),
    Option("destination", MANY, "remove: the place of a mount in the container"),
)

_CRIU: Final = (
    Option("image-path", DIRECTORY, "directory of the images; default: checkpoint"),
    Option("work-path", DIRECTORY, "directory of CRIU's log and other files; default: that of the images"),
    Option("tcp-established", FLAG, "also established TCP connections"),
    Option("ext-unix-sk", FLAG, "also unix sockets whose other end is outside"),
    Option("shell-job", FLAG, "also a session whose leader is outside"),
    Option("file-locks", FLAG, "also file locks"),
    Option("manage-cgroups-mode", "ignore|soft|full|strict", "cgroups below the container's; default: soft"),
    Option("empty-ns", MANY, "a namespace to leave empty: network"),
    Option("auto-dedup", FLAG, "give memory back from the images that later ones replace"),
    Option("lazy-pages", FLAG, "leave memory to a server that gives it when it is used (userfaultfd)"),
)

COMMANDS: Final = (
    Command("create", "ID", "create a container, ready to be started", _CREATE, 1, 1),
    Command(
        "run", "ID", "create and start a container",
        (
            *_CREATE,
            Option("detach", FLAG, "return when the program runs", "d"),
            Option("keep", FLAG, "do not delete the container when it exits"),
            Option("no-subreaper", FLAG, "do not adopt the container's orphans"),
        ), 1, 1,
    ),
    Command(
        "do", "COMMAND [ARG…]", "run a command in a throwaway sandbox, without a bundle",
        _DO, 1, -1, tail=True, strict=True,
    ),
    Command("start", "ID", "run the program of a created container", (), 1, 1),
    Command("state", "ID", "print the state of a container as JSON", (), 1, 1),
    Command(
        "kill", "ID [SIGNAL]", "send a signal (default: its stopSignal, or SIGTERM) to the container's process",
        (Option("all", FLAG, "send it to every process of the container", "a"), _REGEX), 1, 2,
    ),
    Command(
        "delete", "ID", "delete a stopped container",
        (Option("force", FLAG, "kill it first if it runs; no error if it does not exist", "f"), _REGEX), 1, 1,
    ),
    Command(
        "exec", "ID COMMAND [ARG…]", "run another process in a running container",
        (
            Option("cwd", TEXT, "its working directory"),
            Option("env", MANY, "NAME=VALUE to add to its environment", "e"),
            Option("tty", FLAG, "give it a terminal", "t"),
            Option("user", TEXT, "UID[:GID]", "u"),
            Option("additional-gids", MANY, "another group id", "g"),
            Option("process", FILE, "file with a process object (config.md) instead of a command", "p"),
            Option("detach", FLAG, "return when the process runs", "d"),
            Option("pid-file", FILE, "file for its process id"),
            Option("process-label", TEXT, "SELinux label"),
            Option("apparmor", TEXT, "AppArmor profile"),
            Option("no-new-privs", FLAG, "set no_new_privs"),
            Option("cap", MANY, "a capability to add", "c"),
            Option("preserve-fds", NUMBER, "pass file descriptors 3 .. 3+N-1 on"),
            Option("console-socket", FILE, "AF_UNIX socket that receives the terminal's master"),
            Option("pidfd-socket", FILE, "AF_UNIX socket that receives a pidfd of the process"),
            Option("cgroup", MANY, "sub-cgroup, [CONTROLLER:]PATH"),
            Option("ignore-paused", FLAG, "also in a paused container"),
        ), 1, -1, tail=True, code=EXIT_EXEC,
    ),
    Command("pause", "ID", "freeze the processes of a container", (), 1, 1),
    Command("resume", "ID", "let the processes of a paused container go on", (), 1, 1),
    Command("update", "ID", "change the limits of a container", _UPDATE, 1, 1),
    Command(
        "mounts", "add|remove ID [FILE]", "mount something in a running container, or unmount it there", _MOUNTS, 2, 3,
    ),
    Command(
        "list", "", "list the containers",
        (Option("format", "table|json", "form of the output", "f"), Option("quiet", FLAG, "ids only", "q")), 0, 0,
    ),
    Command(
        "ps", "ID [PS-OPTION…]", "list the processes of a container",
        (Option("format", "table|json", "form of the output", "f"),), 1, -1, tail=True,
    ),
    Command(
        "events", "ID", "print what a container uses, and when one of its processes is killed for want of memory",
        (
            Option("interval", TEXT, "time between two statistics, as 500ms or 1m30s; default: 5s"),
            Option("stats", FLAG, "print the statistics once"),
        ), 1, 1,
    ),
    Command(
        "usage", "[ID…]", "print what containers use now; without an id, all that run",
        (Option("format", "table|json", "form of the output", "f"),), 0, -1,
    ),
    Command("wait", "ID", "wait for the end of a container's program, and print its exit code", (), 1, 1),
    Command(
        "checkpoint", "ID", "save the processes of a running container to files, with CRIU",
        (
            *_CRIU,
            Option("parent-path", TEXT, "images of an earlier --pre-dump, relative to --image-path"),
            Option("pre-dump", FLAG, "save its memory only, and let it go on"),
            Option("leave-running", FLAG, "let it go on after that"),
            Option("status-fd", TEXT, "descriptor that is written to when the server of --lazy-pages is ready"),
            Option("page-server", TEXT, "ADDRESS:PORT of a server that takes the memory"),
        ), 1, 1,
    ),
    Command(
        "restore", "ID", "make a container from the files of a checkpoint",
        (
            *_CRIU,
            Option("bundle", DIRECTORY, "the bundle's directory; default: the current one", "b"),
            Option("console-socket", FILE, "AF_UNIX socket that receives the terminal's master"),
            Option("pid-file", FILE, "file for the container's process id"),
            Option("detach", FLAG, "return when its processes run", "d"),
            Option("no-subreaper", FLAG, "do not adopt the container's orphans"),
            Option("no-pivot", FLAG, "accepted: CRIU enters the root in its own way"),
            Option("lsm-profile", TEXT, "TYPE:NAME of the LSM profile to restore the processes with"),
            Option("lsm-mount-context", TEXT, "SELinux context of the mounts"),
        ), 1, 1,
    ),
    Command(
        "explain", "[BUNDLE]", "print what a `run` of a bundle would do, step by step, without doing it",
        (*_PLANNED, Option("format", "text|json|mermaid", "form of the output")), 0, 1,
    ),
    Command(
        "diff-config", "A B", "print what two bundles, or their config.json, do differently (exit code 1; 0: nothing)",
        (*_PLANNED[1:], Option("format", "text|json", "form of the output")), 2, 2, error=2,
    ),
    Command("trace", "FILE", "draw the file of `run --trace`", (), 1, 1),
    Command(
        "spec", "", "write a config.json to begin with",
        (
            Option("bundle", DIRECTORY, "the bundle's directory; default: the current one", "b"),
            Option("rootless", FLAG, "one that runs without root"),
        ), 0, 0,
    ),
    Command(
        "validate", "[BUNDLE]", "tell all that is wrong with a configuration; nothing is changed or run",
        (
            Option("bundle", FILE, "the bundle's directory, or the file itself; default: the current directory", "b"),
            Option("host", FLAG, "also what this host cannot do, and what is missing on it and in the root filesystem"),
            Option("strict", FLAG, "warnings count as errors"),
            Option("format", "text|json|sarif", "form of the output", "f"),
        ), 0, 1, error=2, library=True,
    ),
    Command(
        "install", "ENGINE", "make Docker, containerd or Podman know this program: change the engine's configuration",
        (
            Option("config", FILE, "the engine's file; default: the usual one of root or of this user"),
            Option("name", TEXT, "what the engine calls it; default: ocirun"),
            Option("default", FLAG, "make it the runtime of all containers that do not choose one"),
            Option("dry-run", FLAG, "print the change only"),
            Option("undo", FLAG, "take back what `install` has changed"),
        ), 1, 1,
    ),
    Command("features", "", "print what this program can do as JSON", (), 0, 0, library=True),
    Command("completion", "SHELL [WORD…]", "print a script that completes words in bash, zsh or fish", (), 1, -1),
    Command("manual", "", "print the manual page, for man(1)", (), 0, 0),
)  # fmt: skip
