"""What the hot commands cost, in numbers that do not depend on the machine's load: instructions and system calls.

`costs.tsv` has a command a line: its instructions outside the kernel, in thousands, and its system calls with those of
all its processes (of `create` only its own, for the other one stays). A command that costs more fails the test, and so
does one that costs much less, so that the list stays true; the measured list is left beside the test's files. callgrind
does not know clone3(2), pidfd_send_signal(2) and the newer calls for mounts, so that instructions are counted of three
commands only.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import facility
from support.bundle import REPOSITORY, default_config, with_args, write_bundle
from support.facility import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.budget, pytest.mark.privileged]

LIST = Path(__file__).with_name("costs.tsv")
PREFIX = REPOSITORY / "build"
TOLERANCE = 0.05
SEALED = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
"""On a read-only mount the launcher does not start itself a second time, where callgrind would lose it."""


class Costs:
    """Runs commands on one container; `found` has (thousands of instructions, system calls) by command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, tuple[int, int]] = {}

    def call(self, *words: str, program: Path = PREFIX / "bin" / "ocirun", around: tuple[str, ...] = ()) -> str:
        """A command that has to succeed; its standard error."""
        errors = self.folder / "errors"
        with errors.open("wb") as said:  # a file: the container's process has it too, and stays
            done = subprocess.run(
                [*around, program, "--root", self.folder / "state", *words],
                cwd=self.folder, env={"PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=said, check=False, timeout=120,
            )  # fmt: skip
        assert done.returncode == 0, (words, errors.read_text())
        return errors.read_text()

    def instructions(self, *words: str) -> int:
        """In thousands."""
        library = PREFIX / "lib"
        seal = ("unshare", "--mount", "--propagation", "private", "sh", "-c", SEALED, "sh", str(library))
        counting = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={self.folder}/callgrind")
        said = self.call(*words, program=library / "ocirun" / "launcher", around=(*seal, *counting))
        return round(int(re.findall(r"Collected : (\d+)", said)[0]) / 1000)

    def system_calls(self, *words: str) -> int:
        """Of the command, and of the processes that it makes and waits for."""
        summary = self.folder / "summary"
        follow = () if words[0] == "create" else ("-f",)
        self.call(*words, around=("strace", *follow, "-qq", "-c", "-o", str(summary)))
        return int(summary.read_text().split("\n")[-2].split()[3])


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Costs]:
    """Each command once before, which fills the caches."""
    facility.need(facility.root, facility.busybox)
    folder = tmp_path_factory.mktemp("costs")
    measured = Costs(folder)
    bundle = str(write_bundle(folder / "bundle", with_args(default_config(), "/bin/true")))
    waiting = str(write_bundle(folder / "waiting", with_args(default_config(), "/bin/sleep", "600")))
    measured.call("run", "--bundle", bundle, "before")
    found = {"run": (0, measured.system_calls("run", "--bundle", bundle, "short"))}
    try:
        found["create"] = (0, measured.system_calls("create", "--bundle", waiting, "one"))
        measured.call("create", "--bundle", waiting, "other")
        for command in ("state", "start"):
            found[command] = measured.instructions(command, "one"), measured.system_calls(command, "other")
        found["exec"] = (0, measured.system_calls("exec", "other", "/bin/true"))
        for name in ("one", "other"):
            found["kill"] = (0, measured.system_calls("kill", name, "KILL"))
        found["delete"] = measured.instructions("delete", "one"), measured.system_calls("delete", "other")
    finally:
        for name in ("one", "other"):
            measured.call("delete", "--force", name)
    measured.found = found
    yield measured
    shutil.rmtree(folder, ignore_errors=True)


@requires(facility.cgroup_v1, facility.strace, facility.valgrind)
def test_hot_commands_cost_what_is_listed(costs: Costs, tmp_path: Path) -> None:
    rows = "".join(f"{command}\t{counted or '-'}\t{calls}\n" for command, (counted, calls) in costs.found.items())
    measured = tmp_path / "costs.tsv"
    measured.write_text("command\tthousand instructions\tsystem calls\n" + rows)
    listed = [line.split("\t") for line in LIST.read_text().splitlines()[1:]]
    assert [row[0] for row in listed] == list(costs.found)
    for command, *numbers in listed:
        for number, now in zip(numbers, costs.found[command], strict=True):
            before = 0 if number == "-" else int(number)
            assert abs(now - before) <= TOLERANCE * before, (command, before, now, f"the measured list is {measured}")
