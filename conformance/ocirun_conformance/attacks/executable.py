"""The runtime's own executable, which is what a process runs while it enters a container.

Only root may look at what a waiting process has mapped (`facility.root`): it is not dumpable.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import config as configs
from ocirun_conformance import facility, probe
from ocirun_conformance.case import NotRun, each, expect, row
from ocirun_conformance.trial import ok, wait_until

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Bundle, Container, Trial

LOADER = "lib64/ld-linux-x86-64.so.2"
_OPENED = re.compile(r"^opened (\d+) (\d+)$", re.MULTILINE)
_EVERYTHING = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_SETGID",
    "CAP_SETUID", "CAP_SYS_CHROOT",
]  # fmt: skip


class Files:
    """What the runtime runs from on the host: its executable and all that its waiting process has mapped."""

    def __init__(self, trial: Trial) -> None:
        made = trial.created()
        maps = Path(f"/proc/{made.pid}/maps").read_text()
        paths = {Path(line.split()[-1]) for line in maps.splitlines() if "/" in line}
        self.paths = {path for path in paths if path.is_file()} | {Path(trial.runtime.program[0]).resolve()}
        self.executable = os.stat(f"/proc/{made.pid}/exe")
        self.before = self._digests()
        made.force()

    def _digests(self) -> dict[str, str]:
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(self.paths)}

    def untouched(self, said: str) -> None:
        """Fail the case when one was opened for writing, or is another."""
        inodes = {(found.st_dev, found.st_ino): str(path) for path in self.paths for found in (path.stat(),)}
        opened = {(int(device), int(inode)) for device, inode in _OPENED.findall(said)}
        reached = sorted(inodes[each] for each in opened if each in inodes)
        expect(not reached, "the container can write to a file that the runtime runs from", seen=reached)
        expect(self._digests() == self.before, "a file that the runtime runs from has changed", seen=sorted(inodes))


def _bundle(trial: Trial, config: Config) -> Bundle:
    """The image's dynamic loader is the attacker: whoever runs the runtime's executable in the image runs it."""
    if os.uname().machine != "x86_64":
        raise NotRun("the program that attacks is for x86_64")
    bundle = trial.bundle(config)
    attacker = probe.build(program="reach", flags=probe.ALONE)
    for name in (LOADER, "bin/reach"):
        place = bundle.rootfs / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(attacker, place)
    (bundle.rootfs / "bin" / "link").symlink_to("/proc/self/exe")
    script = bundle.rootfs / "bin" / "script"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    return bundle


PROGRAMS = ("/proc/self/exe", "/bin/link", "/bin/script", "/proc/1/exe")


@each(
    *(row(program.replace("/", "-").strip("-"), "CVE-2019-5736", program) for program in PROGRAMS),
    needs=[facility.root],
)
def a_program_that_is_the_runtime(trial: Trial, program: str) -> None:
    """the container's program is {0}, and its loader opens what it runs from for writing"""
    files = Files(trial)
    config = trial.config()
    config["process"]["args"] = [program]
    made = trial.container(_bundle(trial, config))
    if made.create().code == 0:
        made.watch()
        made.start()
        made.wait()
    files.untouched(made.output)


@each(
    *(row(program.replace("/", "-").strip("-"), "CVE-2019-5736", program) for program in PROGRAMS[:3]),
    needs=[facility.root],
)
def an_executed_program_that_is_the_runtime(trial: Trial, program: str) -> None:
    """{0} is executed in a container, and its loader opens what it runs from for writing"""
    files = Files(trial)
    made = trial.started(_bundle(trial, trial.config(["wait"])))
    files.untouched(made.execute(program).out)


@each(row("usual", "CVE-2019-5736", False), row("CAP_SYS_PTRACE", "CVE-2019-5736", True), needs=[facility.root])
def a_hunter(trial: Trial, ptrace: bool) -> None:
    """a program that keeps every executable of the runtime it can reach, and tries to open it later (ptrace: {0})"""
    files = Files(trial)
    config = trial.config()
    found = files.executable
    config["process"]["args"] = ["/bin/reach", "hunt", str(found.st_dev), str(found.st_ino)]
    configs.add_capabilities(config, *_EVERYTHING, *(["CAP_SYS_PTRACE"] if ptrace else []))
    bundle = _bundle(trial, config)
    made = trial.started(bundle)
    wait_until(lambda: "hunting" in made.output, "the hunter")
    for _ in range(trial.rounds):
        ok(made.execute("/probe", "report"), "exec")
    _stop(made)
    files.untouched(made.output)


def _stop(made: Container) -> None:
    (made.bundle.rootfs / "tmp" / "stop").touch()
    made.wait()
