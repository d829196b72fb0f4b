"""An image that carries the interpreter's, the C library's and the runtime's own files: none is ever looked at.

A runtime in an interpreted language could import, load a codec, ask NSS or format a traceback after it entered the
image, and would run the image's code with the host's rights. The traces show which paths are looked at: these are
listed in ALLOWED, for success and for every failure.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from security.box import Box, plain_config
from security.trace import Trace, read, strace
from support import facility
from support.bundle import REPOSITORY, make_rootfs, with_hook
from support.command import wait_for
from support.console import ConsoleSocket

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.security, pytest.mark.privileged]

ALLOWED = {
    "/": "the root itself, held as a descriptor",
    "/etc/passwd": "HOME, read as bytes",
    "dev/pts/ptmx": "the terminal, checked to lie on a devpts",
}
VERSION = f"python3.{sys.version_info.minor}"
PYTHON_BAIT = """
encodings/__init__.py encodings/utf_8.py encodings/ascii.py encodings/aliases.py codecs.py linecache.py
json/__init__.py json/decoder.py os.py site.py sitecustomize.py usercustomize.py traceback.py tokenize.py warnings.py
subprocess.py errno.py stat.py signal.py struct.py socket.py io.py abc.py
importlib/__init__.py importlib/_bootstrap_external.py
"""
LIBRARY_BAIT = """
lib/x86_64-linux-gnu/libc.so.6 lib/x86_64-linux-gnu/libm.so.6 lib/x86_64-linux-gnu/libnss_files.so.2
lib/x86_64-linux-gnu/libnss_compat.so.2 lib/x86_64-linux-gnu/libnss_systemd.so.2
lib/x86_64-linux-gnu/libseccomp.so.2 lib/x86_64-linux-gnu/libgcc_s.so.1 lib64/ld-linux-x86-64.so.2
usr/lib/x86_64-linux-gnu/gconv/UTF-16.so
etc/ld.so.preload etc/ld.so.cache etc/nsswitch.conf etc/localtime etc/locale.alias usr/lib/locale/locale-archive
usr/lib/x86_64-linux-gnu/gconv/gconv-modules usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache
usr/share/zoneinfo/UTC usr/share/locale/locale.alias pyvenv.cfg usr/bin/pyvenv.cfg
"""


def lay_bait(rootfs: Path, runtime: Path) -> None:
    """Put hostile files where the interpreter, the C library and the runtime keep theirs on this host."""
    (rootfs / "lib").mkdir(exist_ok=True)
    libraries = [str(folder).lstrip("/") for folder in (REPOSITORY / "build" / "lib", runtime.parent.parent / "lib")]
    roots = [f"usr/lib/{minor}" for minor in {VERSION, "python3.11", "python3", "python3.13"}]
    roots += [f"{folder}/ocirun{sub}" for folder in libraries for sub in ("", "/site-packages")]
    roots += ["usr/lib/python3/dist-packages", "usr/local/lib/python3.11/dist-packages"]
    for root in roots:
        for name in PYTHON_BAIT.split():
            _write(rootfs / root / name, "open('/pwned', 'w').close()\n")
        for module in ("_json", "_struct", "_ctypes", "_codecs_cn"):
            _write(rootfs / root / "lib-dynload" / f"{module}.cpython-311-x86_64-linux-gnu.so", "bait")
    for folder in libraries:
        for name in ("ocirun/__init__.py", "ocirun/init.py", "ocirun/errors.py", "ocirun_spec/jsontext.py"):
            _write(rootfs / folder / "ocirun" / name, "open('/pwned', 'w').close()\n")
    for name in LIBRARY_BAIT.split():
        _write(rootfs / name, "bait\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(scope="module")
def image(runtime_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image with the bait; no test changes it."""
    facility.need(facility.strace)
    rootfs = make_rootfs(tmp_path_factory.mktemp("bait") / "rootfs")
    lay_bait(rootfs, runtime_binary)
    _write(rootfs / "notes.txt", "no program\n")
    _write(rootfs / "bad-format", "\x7fnot an executable\n")
    (rootfs / "bad-format").chmod(0o755)
    (rootfs / "root" / "closed").mkdir(mode=0o700)
    return rootfs


@pytest.fixture
def baited(box: Box, image: Path) -> Box:
    """A box whose image is the baited one."""
    (box.base / "bundle").mkdir()
    (box.base / "bundle" / "rootfs").symlink_to(image)
    return box


def prepared(box: Box, change: Callable[[dict[str, Any]], object] | None = None, *args: str) -> str:
    """Write a configuration on the baited image; the bundle."""
    config = plain_config(*(args or ("true",)))
    config["root"]["path"] = str((box.base / "bundle" / "rootfs").resolve())
    if change is not None:
        change(config)
    return str(box.write(config))


def traced(box: Box, code: int | None, *args: str) -> tuple[Trace, str]:
    """Run the runtime under strace; the trace and what it said. `code` None: anything but success."""
    output = box.base / "trace"
    done = box.raw(*strace(output, box.command(*args)))
    if code is None:
        assert done.code != 0, done.details()
    else:
        done.expect(code)
    return read(output), done.err


def assert_only_allowed(box: Box, trace: Trace, *extra: str) -> None:
    """Nothing but ALLOWED and `extra` was looked at by a process inside, and no bait was run."""
    assert trace.entered, "the trace does not show how the container was entered"
    unexpected = [access for access in trace.inside if access.path and access.path not in {*ALLOWED, *extra}]
    assert not unexpected, f"looked at inside the container's root: {unexpected}"
    assert not (box.rootfs / "pwned").exists()


def lookups(name: str) -> list[str]:
    """The candidates of the program's own PATH."""
    return [f"{folder}/{name}" for folder in ("/bin", "/usr/bin", "/sbin", "/usr/sbin")]


def _args(*args: str) -> Callable[[dict[str, Any]], object]:
    return lambda config: config["process"].update(args=list(args))


def _hook(stage: str, program: str) -> Callable[[dict[str, Any]], object]:
    return lambda config: with_hook(config, stage, program)


RUNS: dict[str, tuple[Callable[[dict[str, Any]], object], int | None, list[str]]] = {
    "success": (_args("true"), 0, lookups("true")),
    "failing program": (_args("false"), 1, lookups("false")),
    "missing program": (_args("no-such-program"), None, lookups("no-such-program")),
    "missing path": (_args("/no/such/program"), None, ["/no/such/program"]),
    "not executable": (_args("/notes.txt"), None, ["/notes.txt"]),
    "a directory": (_args("/etc"), None, ["/etc"]),
    "exec format error": (_args("/bad-format"), None, ["/bad-format"]),
    "too many groups": (
        lambda config: config["process"]["user"].update(additionalGids=list(range(70000))), None, []
    ),
    "cwd that only root may enter": (
        lambda config: config["process"].update(
            cwd="/root/closed", user={"uid": 1000, "gid": 1000}, capabilities={}
        ), 0, lookups("true"),
    ),
    "not ASCII": (_args("/nö-such-prögram"), None, ["/n\\303\\266-such-pr\\303\\266gram"]),
    "startContainer hook": (_hook("startContainer", "/bin/true"), 0, ["/bin/true", *lookups("true")]),
    "failing startContainer hook": (_hook("startContainer", "/bin/false"), None, ["/bin/false", *lookups("true")]),
    "missing startContainer hook": (_hook("startContainer", "/no-hook"), None, ["/no-hook", *lookups("true")]),
    "failing poststart hook": (_hook("poststart", "/bin/false"), None, lookups("true")),
}  # fmt: skip


INJECTED = {"fchdir": "3"} | dict.fromkeys(
    ("umount2", "chdir", "setsid", "setresuid", "setresgid", "setgroups", "capset"), "1+"
)
"""Call -> which of them fails in each process: the one after the container's root was entered."""


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("options", [(), ("--no-pivot",)], ids=["pivot", "no-pivot"])
def test_run_looks_at_nothing_of_the_image(baited: Box, name: str, options: tuple[str, ...]) -> None:
    change, code, extra = RUNS[name]
    bundle = prepared(baited, change)
    trace, _said = traced(baited, code, "run", *options, "--bundle", bundle, baited.ident)
    assert_only_allowed(baited, trace, *extra)
    assert not extra or trace.named & set(extra), "the trace shows nothing of what the runtime has to look at"


def test_device_rules_hold_for_what_the_runtime_opens(box: Box) -> None:
    """Opening some devices does something: a watchdog begins to wait."""
    facility.need(facility.strace)
    config = plain_config("true")
    config["linux"]["resources"]["devices"] = [{"allow": False, "type": "c", "major": 1, "minor": 5, "access": "rw"}]
    bundle = box.write(config)
    passwd = box.rootfs / "etc" / "passwd"
    passwd.unlink()
    os.mknod(passwd, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    output = box.base / "trace"
    box.raw(*strace(output, box.command("run", "--bundle", str(bundle), box.ident))).ok()
    assert re.findall(r'"/etc/passwd", O_RDONLY.* = (.*)', output.read_text()) == ["-1 EPERM (Operation not permitted)"]


@pytest.mark.parametrize("call", INJECTED)
def test_a_kernel_call_that_fails_inside_looks_at_nothing_of_the_image(baited: Box, call: str) -> None:
    """An error number that no step expects: whatever is raised, no traceback, codec or message file is looked for."""
    output = baited.base / "trace"
    command = baited.command("run", "--bundle", prepared(baited), baited.ident)
    done = baited.raw(*strace(output, command, call, INJECTED[call]))
    assert done.code != 0, done.details()
    assert "Traceback" not in done.err
    assert_only_allowed(baited, read(output), *lookups("true"))


EARLY: dict[str, Callable[[dict[str, Any]], object]] = {
    "sysctl that does not exist": lambda config: config["linux"].update(sysctl={"net.no_such_thing": "1"}),
    "mount that does not exist": lambda config: config["mounts"].append(
        {"destination": "/mnt", "type": "nosuchfs", "source": "x"}
    ),
    "failing createContainer hook": _hook("createContainer", "/bin/false"),
    "missing createContainer hook": _hook("createContainer", "/no-hook"),
    "failing createRuntime hook": _hook("createRuntime", "/bin/false"),
    "cwd that is a file": lambda config: config["process"].update(cwd="/etc/passwd"),
}


@pytest.mark.parametrize("name", EARLY)
def test_a_failure_before_the_root_is_entered_opens_no_bait(baited: Box, name: str) -> None:
    bundle = prepared(baited, EARLY[name])
    trace, said = traced(baited, None, "run", "--bundle", bundle, baited.ident)
    assert not [access for access in trace.inside if access.path]
    assert "rootfs/usr/lib" not in repr(trace.everything)
    assert len([line for line in said.splitlines() if "hint:" not in line]) == 1, said


EXECS: dict[str, tuple[list[str], int | None, list[str]]] = {
    "success": (["true"], 0, lookups("true")),
    "failing program": (["false"], 1, lookups("false")),
    "missing program": (["no-such-program"], 255, lookups("no-such-program")),
    "missing path": (["/no/such/program"], 255, ["/no/such/program"]),
    "exec format error": (["/bad-format"], 255, ["/bad-format"]),
    "not executable": (["/notes.txt"], 255, ["/notes.txt"]),
}


@pytest.mark.parametrize("name", EXECS)
def test_exec_looks_at_nothing_of_the_image(baited: Box, name: str) -> None:
    args, code, extra = EXECS[name]
    baited.runtime.run(baited.ident, Path(prepared(baited, None, "sleep", "60")), "--detach").ok()
    trace, _said = traced(baited, code, "exec", baited.ident, *args)
    assert_only_allowed(baited, trace, *extra)


def test_exec_with_a_missing_cwd_looks_at_nothing_else(baited: Box) -> None:
    baited.runtime.run(baited.ident, Path(prepared(baited, None, "sleep", "60")), "--detach").ok()
    trace, _said = traced(baited, 255, "exec", "--cwd", "/no/such/place", baited.ident, "true")
    assert_only_allowed(baited, trace, "/no/such/place")


def test_exec_with_a_terminal_looks_at_the_terminal_only(baited: Box) -> None:
    baited.runtime.run(baited.ident, Path(prepared(baited, None, "sleep", "60")), "--detach").ok()
    with ConsoleSocket(baited.base / "tty.sock") as console:
        options = ["--tty", "--detach", "--console-socket", str(console.path)]
        trace, _said = traced(baited, 0, "exec", *options, baited.ident, "true")
        console.receive().close()
    assert "dev/pts/ptmx" in trace.named
    assert_only_allowed(baited, trace, *lookups("true"))


def test_hot_commands_open_no_python_file(baited: Box) -> None:
    """The modules are frozen into the binary: no .py or .pyc, and no extension of the interpreter."""
    bundle = prepared(baited, None, "sleep", "60")
    traces = [baited.base / f"trace-{name}" for name in ("create", "start", "state", "exec", "kill", "delete")]
    # strace follows the container too, so this one ends with it.
    create = subprocess.Popen(
        strace(traces[0], baited.command("create", "--bundle", bundle, baited.ident)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: baited.runtime.call("state", baited.ident).code == 0, what="the container")
        wait_for(lambda: baited.runtime.status(baited.ident) == "created", what="the container being created")
        baited.raw(*strace(traces[1], baited.command("start", baited.ident))).ok()
        baited.raw(*strace(traces[2], baited.command("state", baited.ident))).ok()
        baited.raw(*strace(traces[3], baited.command("exec", baited.ident, "true"))).ok()
        baited.raw(*strace(traces[4], baited.command("kill", baited.ident, "KILL"))).ok()
        create.wait(20)
        baited.raw(*strace(traces[5], baited.command("delete", baited.ident))).ok()
    finally:
        create.kill()
        create.wait()
    for trace in traces:
        paths = {access.path for access in read(trace).everything if access.path}
        assert not [path for path in paths if path.endswith((".py", ".pyc", ".pth", ".cfg"))], trace
        assert not [path for path in paths if "python" in path], trace
