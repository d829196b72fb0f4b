"""The mistakes that people make, each tried with several runtimes: docs/errors.md is written from what they say.

    PYTHONPATH=tests build/venv/bin/python -m support.mistakes /usr/sbin/runc /usr/bin/crun >docs/errors.md

writes it anew for the runtime of this checkout and those that are named; `tests/process/test_errors_page.py` holds it
against what this checkout's runtime says now.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from process.box import changed
from process.plain import PLAIN, as_plain_user, reachable

from .bundle import Config, default_config, mount, with_args, with_shell, with_terminal, write_bundle
from .runtime import runtime_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RUN = ("run", "--bundle", "BUNDLE", "web")
CREATE = ("create", "--bundle", "BUNDLE", "web")
SLEEPING = (("run", "--detach", "--bundle", "BUNDLE", "web"),)
SECONDS = 60
HIDING = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
          'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$0" "$@"')  # fmt: skip
"""crun takes no mixture of cgroup v1 and v2: it is called where the second cannot be seen."""
PAGE_FOLDER = "/home/me/web"
HEAD = """\
# What goes wrong, and what is said

Each of these bundles has one mistake. The texts are what the runtimes print on standard error; the page is written by
`tests/support/mistakes.py`, and a test holds ocirun's part against the program. `ocirun validate --host BUNDLE` finds
most of them beforehand, with line and column ([validate](validate.md)).

The sentence says the command and the container, where in `config.json` (a JSON pointer), what was being done, which
system call answered, and its error in words. The hint says what to do.
"""


@dataclass(frozen=True)
class Mistake:
    """One mistake: its title, how the bundle gets it, and the commands, the last of which fails.

    spoil: (configuration, bundle) to the configuration; None: there is no config.json.
    plain: as a user without privileges.
    """

    title: str
    spoil: Callable[[Config, Path], Config | str | None]
    commands: tuple[tuple[str, ...], ...] = (RUN,)
    plain: bool = False


def setting(pointer: str, value: object) -> Callable[[Config, Path], Config]:
    """One member of the configuration is another."""
    return lambda config, _bundle: changed(config, pointer, value)


def program(data: bytes, mode: int = 0o755) -> Callable[[Config, Path], Config]:
    """The program is a file with this content."""

    def spoil(config: Config, bundle: Path) -> Config:
        path = bundle / "rootfs" / "bin" / "serve"
        path.write_bytes(data)
        path.chmod(mode)
        return with_args(config, "/bin/serve")

    return spoil


def renamed(config: Config, _bundle: Path) -> Config:
    """A property's name without its last letter."""
    config["linux"]["maskedPath"] = config["linux"].pop("maskedPaths")
    return config


def with_loader(config: Config, bundle: Path) -> Config:
    """A program of the host that needs a shared loader, which the image lacks."""
    shutil.copy("/bin/ls", bundle / "rootfs" / "bin" / "serve")
    return with_args(config, "/bin/serve")


def bare(config: Config, bundle: Path) -> Config:
    """No root filesystem."""
    shutil.rmtree(bundle / "rootfs")
    return config


def rootless(config: Config, _bundle: Path) -> Config:
    """What a plain user can run, but for a limit."""
    linux = config["linux"]
    linux["namespaces"] = [each for each in linux["namespaces"] if each["type"] != "network"] + [{"type": "user"}]
    for name in ("uidMappings", "gidMappings"):
        linux[name] = [{"containerID": 0, "hostID": PLAIN, "size": 1}]
    config["mounts"] = [each for each in config["mounts"] if each["destination"] in ("/proc", "/dev", "/dev/shm")]
    linux["resources"] = {"memory": {"limit": 64 << 20}}
    return config


def sleeping(config: Config, _bundle: Path) -> Config:
    """A container that is still there."""
    return with_shell(config, "exec sleep 100")


MISTAKES = (
    Mistake("There is no config.json", lambda _config, _bundle: None),
    Mistake("A comma too many", lambda _config, _bundle: '{\n  "ociVersion": "1.0.2",\n}\n'),
    Mistake("A property's name is misspelt", renamed),
    Mistake("A number is written as a text", setting("/process/user/uid", "0")),
    Mistake("There is no root filesystem", bare),
    Mistake("The program does not exist", setting("/process/args", ["nginx"])),
    Mistake("The program is not executable", program(b"#!/bin/sh\n", 0o644)),
    Mistake("The script's interpreter does not exist", program(b"#!/usr/bin/python3\n")),
    Mistake("The script was saved on Windows", program(b"#!/bin/sh\r\necho hello\r\n")),
    Mistake("The program's loader is not in the image", with_loader),
    Mistake("The program is for another processor, or none at all", program(b"hello\n")),
    Mistake("A capability is misspelt", setting("/process/capabilities/effective", ["CAP_NET_ADMN"])),
    Mistake("A mount's option is misspelt", setting("/mounts/-", mount("/data", "tmpfs", "tmpfs", "nosuidd"))),
    Mistake("A mount's source does not exist", setting("/mounts/-", mount("/data", "bind", "/srv/data", "bind"))),
    Mistake("A namespace is misspelt", setting("/linux/namespaces/0/type", "pids")),
    Mistake("A namespace's path leads nowhere", setting("/linux/namespaces/1/path", "/run/netns/blue")),
    Mistake("A sysctl that has no namespace", setting("/linux/sysctl", {"vm.swappiness": "10"})),
    Mistake("A memory limit that nothing can run in", setting("/linux/resources/memory", {"limit": 4096})),
    Mistake("A plain user without delegated cgroups sets a limit", rootless, plain=True),
    Mistake("An AppArmor profile that is not loaded", setting("/process/apparmorProfile", "web")),
    Mistake("A terminal that nobody has", lambda config, _bundle: with_terminal(config), (CREATE,)),
    Mistake("The container is not known", sleeping, (("state", "web"),)),
    Mistake("The id is in use", sleeping, (*SLEEPING, RUN)),
    Mistake("It runs already", sleeping, (*SLEEPING, ("start", "web"))),
    Mistake("It still runs", sleeping, (*SLEEPING, ("delete", "web"))),
)


def said(runtime: str, mistake: Mistake) -> tuple[int, list[str]]:
    """(exit code, lines on standard error) of the command that fails, with the folder's name as the page has it."""
    with tempfile.TemporaryDirectory(prefix="ocirun-mistake-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        bundle = folder / "web"
        write_bundle(bundle, {})
        found = mistake.spoil(default_config(), bundle)
        (bundle / "config.json").unlink()
        if isinstance(found, str):
            (bundle / "config.json").write_text(found)
        elif found is not None:
            write_bundle(bundle, found, rootfs=False)
        if mistake.plain:
            subprocess.run(["chown", "-R", f"{PLAIN}:{PLAIN}", name], check=True)
        words = as_plain_user(runtime) if mistake.plain else [runtime]
        line = [*(HIDING if "crun" in runtime else ()), *words, "--root", str(folder / "state")]
        try:
            for command in mistake.commands:
                asked = [str(bundle) if word == "BUNDLE" else word for word in command]
                code, text = call([*line, *asked], folder)
        finally:
            call([*line, "delete", "--force", "web"], folder)
    return code, [plain_text(each.replace(str(bundle), PAGE_FOLDER)) for each in text.splitlines() if each.strip()]


def call(argv: Sequence[str], folder: Path) -> tuple[int, str]:
    """Exit code and standard error; in files, since a container that stays keeps what it was given."""
    with (folder / "said").open("w+") as file:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, timeout=SECONDS, check=False
        )
        file.seek(0)
        return done.returncode, file.read()


def plain_text(line: str) -> str:
    """Without what differs from run to run, and without the frame of runc's log."""
    line = re.sub(r'^time="[^"]*" level=(\w+) msg="((?:[^"\\]|\\.)*)"', r"\1: \2", line).replace('\\"', '"')
    line = re.sub(r"^20\S+Z: ", "", line)
    line = re.sub(r"(current|peak) usage: \d+", r"\1 usage: N", line)
    return re.sub(r"ocirun-mistake-\w+", "…", line)


def page(runtimes: dict[str, str]) -> str:
    """The whole page: for each mistake what each runtime says, by name and path."""
    parts = [HEAD]
    for mistake in MISTAKES:
        parts.append(f"\n## {mistake.title}\n")
        for name, runtime in runtimes.items():
            parts.append(f"\n{block(name, *said(runtime, mistake))}")
    return "".join(parts)


def block(name: str, code: int, lines: list[str]) -> str:
    """What one of them says, as the page has it."""
    shown = "".join(f"{line}\n" for line in lines or ["(nothing is said)"])
    return f"{name}, exit code {code}:\n\n```text\n{shown}```\n"


def version(program: str) -> str:
    """``runc 1.1.5``, from its first line."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return re.sub(r" version |\+ds.*", lambda found: " " if "version" in found[0] else "", done.stdout.splitlines()[0])


def main(others: list[str]) -> None:
    """Print the page."""
    with reachable(runtime_path()) as ours:
        sys.stdout.write(page({"ocirun": str(ours), **{version(each): each for each in others}}))


if __name__ == "__main__":
    main(sys.argv[1:])
