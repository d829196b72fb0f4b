"""What is fuzzed, by name: each gives the cases and what has to hold for one, in a box whose folder is `base`."""

from __future__ import annotations

import copy
import json
import os
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

from fuzz import channels, configs, published, records
from fuzz.answers import Answer, ask
from fuzz.lines import lines
from fuzz.raw import one_sentence
from support.bundle import default_config, make_rootfs, write_bundle
from support.command import run_command
from support.host import HostSnapshot
from support.runtime import runtime_path

from ocirun import bundle
from ocirun.checks import judging
from ocirun.cli import Arguments
from ocirun.errors import Failure
from ocirun.facts import Facts
from ocirun.plan import compose
from ocirun.request import Request
from ocirun_spec import schema
from ocirun_spec.accept import accept

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fuzz.configs import Config
    from hypothesis.strategies import SearchStrategy

    Target = tuple[SearchStrategy[Any], Callable[[Any], None]]


def bases() -> list[Config]:
    """Valid configurations of our own, with all that the planners know."""
    plain = default_config()
    plain["root"]["readonly"] = True
    full = copy.deepcopy(plain)
    full["hooks"] = {"createRuntime": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/true", "env": ["A=b"]}]}
    full["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    }
    full["linux"] |= {"sysctl": {"net.ipv4.ip_forward": "1"}, "cgroupsPath": "/box-a"}
    full["linux"]["resources"] |= {"pids": {"limit": 50}, "memory": {"limit": 1 << 28}, "cpu": {"shares": 100}}
    mapped = copy.deepcopy(plain)
    mapped["linux"]["namespaces"] += [{"type": "user"}, {"type": "time"}]
    ids = [{"containerID": 0, "hostID": 1000, "size": 999}]
    mapped["linux"] |= {"uidMappings": ids, "gidMappings": ids}
    mapped["linux"]["timeOffsets"] = {"monotonic": {"secs": 5}}
    small = {"ociVersion": "1.0.0", "root": {"path": "rootfs"}, "process": {"args": ["true"], "cwd": "/"}}
    return [plain, full, mapped, small | {"linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]}}]


def config(base: Path) -> Target:
    """Parse, validate, plan: a plan or a sentence, and the verdict of our schema and the published ones."""
    own = schema.validator(schema.config_schema())
    asked = Arguments("create")
    asked.positionals = ["box"]

    def judge(changed: Config) -> None:
        accepted = accept(changed) is None
        places = {published.pattern(error.absolute_path) for error in own.iter_errors(changed)}
        assert accepted == (not places)
        difference = published.differs(changed, accepted, places)
        assert not difference, difference
        (base / "config.json").write_text(json.dumps(changed), errors="surrogatepass")
        try:
            found = bundle.load(str(base))
            assert accepted
            compose(found, Facts(), Request(asked, Arguments(""), str(base / "root")))
        except Failure as problem:
            one_sentence(problem)

    return configs.changed(bases()), judge


def validate(base: Path) -> Target:
    """What is refused when it is loaded or planned is told by `validate`, too."""
    asked = Arguments("create")
    asked.positionals = ["box"]

    def agree(changed: Config) -> None:
        text = json.dumps(changed)
        (base / "config.json").write_text(text)
        found = judging.judge(text, "config.json", str(base), host=True, systemd=False)
        assert [each.line for each in found] == sorted(each.line for each in found)
        refused = ""
        try:
            compose(bundle.load(str(base)), Facts(), Request(asked, Arguments(""), str(base / "root")))
        except Failure as problem:
            refused = str(problem)
        assert not refused or any(each.severity == "error" for each in found), refused

    return configs.changed(bases()), agree


def create(base: Path) -> Target:
    """The built program makes what a closed configuration asks for, or says why not; then it is deleted."""
    program = str(runtime_path().absolute())
    for name in ("other", "shared"):
        (base / "bundle" / name).mkdir(parents=True)
    call = partial(_call, program, base)
    call("list")
    before = HostSnapshot.take(base / "root")

    def live(changed: Config) -> None:
        folder = write_bundle(base / "bundle", changed, rootfs=False)
        make_rootfs(folder / "rootfs")
        try:
            call("create", "--bundle", str(folder), "box").check()
            assert call("delete", "--force", "box").check().code == 0
            before.assert_unchanged()
        finally:
            shutil.rmtree(folder / "rootfs")

    return configs.changed(bases(), closed=True), live


def _call(program: str, base: Path, *words: str) -> Answer:
    root = base / "root"
    root.mkdir(exist_ok=True)
    done = run_command([program, "--root", str(root), *words], base / "said")
    shutil.rmtree(root / "@cache", ignore_errors=True)
    return Answer(words, done.code, done.out, done.err)


def words(base: Path) -> Target:
    """Command lines of the grammar and beside it, in an empty folder."""
    there = base / "there"

    def say(line: list[str]) -> None:
        shutil.rmtree(there, ignore_errors=True)
        there.mkdir()
        os.chdir(there)
        ask(["--root", str(there / "root"), *line], base).check()

    return lines(), say


TARGETS: dict[str, Callable[[Path], Target]] = {
    "config": config,
    "validate": validate,
    "create": create,
    "words": words,
    "record": records.record,
    "channel": channels.channel,
}
