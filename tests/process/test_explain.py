"""`explain` and `diff-config` only look; what `explain` says is what the kernel is asked for; the trace of a `run` has
the same steps.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import Box, one_sentence
from process.plain import config_of, plain_box, plain_user_namespace
from support import facility
from support.bundle import default_config, with_args, with_hook, with_namespace, with_user_namespace, write_bundle
from support.command import run_command
from support.facility import need
from support.host import HostSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.bundle import Config
    from support.runtime import Result

pytestmark = [pytest.mark.process, pytest.mark.privileged]

CHANGES = re.compile(
    r"^(?:\d+ +)?(?:mount|umount2|open_tree|move_mount|fs(?:open|config|mount|pick)|unshare|setns|clone3?|v?fork"
    r"|mkdir\w*|mknod\w*|unlink\w*|rename\w*|symlink\w*|link\w*|f?ch(?:own|mod)\w*|socket|connect|bind|bpf|keyctl"
    r"|write)\((?![12],)|O_CREAT|O_WRONLY|O_RDWR",
    re.MULTILINE,
)
"""Of strace: what changes something; writing to standard output and error does not."""
CALL = re.compile(r"^(?:\d+ +)?(\w+)\(", re.MULTILINE)
SYNONYMS = {"open": "openat", "stat": "newfstatat"}


def sample(*args: str) -> Config:
    """Hooks on both sides, a filter, a limit: a plan with each of its lists."""
    config = default_config(*args or ("true",))
    config["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}],
    }
    with_hook(config, "createRuntime", "/bin/true")
    with_hook(config, "createContainer", "/bin/true")
    return with_hook(config, "startContainer", "/bin/true")


def entries(box: Box, *options: str) -> list[dict[str, Any]]:
    """What `explain` lists for the box's bundle and container."""
    done = box.runtime.call("explain", "--format", "json", "--id", box.ident, *options, str(box.bundle)).ok()
    return [each for phase in json.loads(done.out)["phases"] for each in phase["entries"]]


def explained(box: Box) -> list[tuple[Any, ...]]:
    return [
        tuple(each[key] for key in ("number", "text", "step", "pointer")) for each in entries(box) if "number" in each
    ]


def read(path: Path) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """(the file, its steps in its order, which is that of time in each process), after a look at its form."""
    document = json.loads(path.read_text())
    names: dict[int, str] = {}
    steps = []
    ends: dict[int, float] = {}
    for event in document["traceEvents"]:
        if event["ph"] == "M":
            names[event["pid"]] = event["args"]["name"]
            continue
        assert event["ph"] == "X"
        assert event["tid"] == event["pid"]
        assert event["ts"] >= ends.get(event["pid"], 0.0) - 0.002, "a process does one thing at a time"
        assert event["dur"] >= 0
        ends[event["pid"]] = event["ts"] + event["dur"]
        if event["args"]:
            steps.append((event["args"]["number"], event["name"], event["args"]["step"], event["args"]["pointer"]))
    assert set(names) == set(ends)
    assert sorted(names.values()) in (["init", "middle", "runtime"], ["init", "runtime"], ["runtime"])
    return document, steps


def calls(trace: str) -> list[str]:
    """The names of the calls in a trace, in order."""
    return [SYNONYMS.get(name, name) for name in CALL.findall(trace)]


def test_explain_does_nothing(box: Box) -> None:
    need(facility.strace)
    box.write(sample())
    output = box.directory / "strace"
    before = box.snapshot()
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "explain", str(box.bundle)]
    done = run_command(["strace", "-f", "-qq", "-o", str(output), *command], box.directory / "out").ok()
    before.assert_unchanged()
    assert "init: inside the container" in done.out
    text = output.read_text()
    program = text[text.rindex("execve") :].partition("\n")[2]  # before that the launcher seals itself
    assert "config.json" in program
    assert [line for line in program.splitlines() if CHANGES.search(line)] == []
    assert not box.runtime.root.exists()


def test_the_kernel_is_asked_for_what_is_explained(box: Box) -> None:
    """All calls without a condition, in that order, in the process that becomes the program."""
    need(facility.strace)
    box.write(default_config("true"))
    folder = box.directory / "strace"
    folder.mkdir()
    command = [str(box.runtime.path), "--root", str(box.runtime.root), "run", "-b", str(box.bundle), box.ident]
    run_command(["strace", "-ff", "-qq", "-o", str(folder / "of"), *command], box.directory / "out").ok()
    (text,) = [each for each in (path.read_text() for path in folder.iterdir()) if "pivot_root(" in each]
    made = iter(calls(text))
    inside = [each for each in entries(box) if each.get("step", "").split(".")[0] not in ("", "seccomp")]
    begin = next(at for at, each in enumerate(inside) if each["step"] == "cgroup.enter")
    said = [
        (each["text"], SYNONYMS.get(name, name))
        for each in inside[begin:]
        if not re.search(r" or | if |^for | in PATH", "\n".join(each["calls"]))
        for name in CALL.findall("\n".join(each["calls"]))
    ]
    assert len(said) > 60
    assert [each for each in said if each[1] not in made] == []


def test_the_trace_has_the_steps_of_explain(box: Box, tmp_path: Path) -> None:
    box.write(sample())
    before = HostSnapshot.take(scope=[str(box.directory), box.ident])  # the cache of filters stays
    box.run(sample(), "--trace", str(tmp_path / "trace.json")).ok()
    before.assert_unchanged()
    document, steps = read(tmp_path / "trace.json")
    assert document["otherData"] == {"command": f"run {box.ident}"}
    assert steps == explained(box)
    drawn = box.runtime.call("trace", str(tmp_path / "trace.json")).ok().out.splitlines()
    assert len([line for line in drawn if re.match(r" *\d+ .* ms ", line)]) == len(steps)


@pytest.mark.parametrize(
    ("change", "last"),
    [
        (lambda config: config["root"].update(path="nowhere"), "rootfs.open_root"),
        (lambda config: config["mounts"][3].update(options=["no=such"]), "mounts.mount_filesystem"),
        (lambda config: with_args(config, "nothing"), "program.find"),
        (
            lambda config: config["hooks"]["startContainer"][0].update(path="/bin/false", args=["false"]),
            "lifecycle.run_hook",
        ),
        (lambda config: with_args(config, "/etc/group"), "program.execute"),
    ],
)
def test_a_failing_run_is_traced_up_to_its_failure(box: Box, tmp_path: Path, change: Any, last: str) -> None:
    config = sample()
    (box.rootfs / "etc" / "group").chmod(0o755)
    change(config)
    box.write(config)
    before = HostSnapshot.take(scope=[str(box.directory), box.ident])
    done = box.run(config, "--trace", str(tmp_path / "trace.json")).expect(1)
    before.assert_unchanged()
    document, steps = read(tmp_path / "trace.json")
    whole = explained(box)
    assert steps == whole[: len(steps)]
    assert steps[-1][2] == last
    assert one_sentence(done) == f"run {box.ident}: {document['otherData']['failed']}"
    assert (
        f"failed: {document['otherData']['failed']}" in box.runtime.call("trace", str(tmp_path / "trace.json")).ok().out
    )


def test_the_process_that_joins_has_its_row(box: Box, tmp_path: Path) -> None:
    need(facility.user_namespace)
    config = with_namespace(with_user_namespace(default_config("true")), "uts", "/proc/self/ns/uts")
    del config["hostname"]
    box.run(config, "--trace", str(tmp_path / "trace.json")).ok()
    document, steps = read(tmp_path / "trace.json")
    assert steps == explained(box)
    (pid,) = [each["pid"] for each in document["traceEvents"] if each["args"] == {"name": "middle"}]
    (joined,) = [each for each in document["traceEvents"] if each["pid"] == pid and each["ph"] == "X"]
    assert (joined["name"], joined["dur"] > 0) == ("join the namespaces", True)
    drawn = box.runtime.call("trace", str(tmp_path / "trace.json")).ok().out
    assert re.search(rf"^middle \({pid}\)\n +- join the namespaces ", drawn, re.MULTILINE)


def test_create_is_traced_until_it_is_created(box: Box, tmp_path: Path) -> None:
    """What is left, `start` does, which names the step that fails as always."""
    (box.rootfs / "etc" / "group").chmod(0o755)
    config = sample("/etc/group")
    box.create(config, "--trace", str(tmp_path / "trace.json")).ok()
    document, steps = read(tmp_path / "trace.json")
    assert document["otherData"] == {"command": f"create {box.ident}"}
    held = Path(f"/proc/{box.runtime.state(box.ident)['pid']}/fd")
    assert [link for link in held.iterdir() if "trace.json" in str(link.readlink())] == []
    launched = [each for each in explained(box) if each not in steps]
    assert [each[2] for each in launched] == [
        "rlimits.set_limit", "lifecycle.run_hook", "seccomp.load", "program.execute",
    ]  # fmt: skip
    assert "/process/args/0: exec '/etc/group': execve: exec format error" in one_sentence(
        box.runtime.start(box.ident).expect(1)
    )


def test_a_trace_that_cannot_be_written_is_refused_first(box: Box, tmp_path: Path) -> None:
    before = box.snapshot()
    refused = box.run(default_config("true"), "--trace", str(tmp_path / "no" / "trace.json")).expect(1)
    assert "trace.json: write the trace: no such file or directory" in one_sentence(refused)
    before.assert_unchanged()


@pytest.mark.security
def test_the_trace_goes_to_the_file_that_was_there_first(box: Box, tmp_path: Path) -> None:
    """Where the container can write to the folder, it may put a link to a file of the host in its place."""
    trace, victim = tmp_path / "trace.json", tmp_path / "victim"
    victim.write_text("of the host")
    config = with_hook(default_config("true"), "createContainer", "/bin/ln", "-sf", str(victim), str(trace))
    box.run(config, "--trace", str(trace)).ok()
    assert trace.is_symlink()
    assert victim.read_text() == "of the host"


@pytest.fixture
def plain(program: Path) -> Iterator[Box]:
    need(facility.root, facility.busybox, plain_user_namespace)
    with plain_box(program) as box:
        yield box


def test_a_plain_user(plain: Box) -> None:
    trace = plain.directory / "trace.json"
    trace.touch()
    trace.chmod(0o666)
    plain.run(config_of(plain, "true"), "--trace", str(trace)).ok()
    steps = read(trace)[1]
    assert steps == explained(plain)
    assert "idmap.become_root" in [each[2] for each in steps]
    plain.runtime.call("diff-config", str(plain.bundle), str(plain.bundle / "config.json")).ok()


def compared(box: Box, first: Config, second: Config, *words: str) -> Result:
    folders: Sequence[Path] = [box.directory / name for name in ("first", "second")]
    for folder, config in zip(folders, (first, second), strict=True):
        write_bundle(folder, config, rootfs=False)
    return box.runtime.call("diff-config", *words, *map(str, folders))


def test_exit_codes_of_a_comparison(box: Box) -> None:
    """0: the same; 1: another effect; 2: no answer, whatever the reason."""
    other = with_args(default_config(), "false")
    assert compared(box, default_config(), default_config()).ok().out == ""
    found = compared(box, default_config(), other).expect(1)
    assert found.out.splitlines()[0] == "program"
    assert json.loads(compared(box, default_config(), other, "--format", "json").expect(1).out)["same"] is False
    assert "takes text or json" in one_sentence(compared(box, other, other, "--format", "xml").expect(2))
    assert "unknown option --wrong" in one_sentence(compared(box, other, other, "--wrong").expect(2))
    assert "/ociVersion" in one_sentence(compared(box, other, {**other, "ociVersion": 1}).expect(2))
    other["linux"]["cgroupsPath"] = "a:b:c"
    said = one_sentence(compared(box, default_config(), other).expect(2))
    assert f"{box.directory}/second: /linux/cgroupsPath: " in said
    assert "takes A B" in one_sentence(box.runtime.call("diff-config", "one").expect(2))


@pytest.mark.parametrize(
    ("content", "said"),
    [("{}", "it is not in the Trace Event Format"), ("[1]", "it is not in"), ('{"traceEvents": [1]}', "it is not in")],
)
def test_what_is_no_trace(box: Box, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "file").write_text(content)
    assert said in one_sentence(box.runtime.call("trace", str(tmp_path / "file")).expect(1))
