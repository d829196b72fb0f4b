"""A host that runs out of something: one sentence says what, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess

import pytest
from security.box import Box, plain_config
from security.lives import clean_up, command_line, prepare
from support import facility
from support.bundle import with_hook
from support.host import HostSnapshot, cgroup_of

pytestmark = [pytest.mark.security, pytest.mark.privileged]

STATE_SIZES = ("4k", "8k", "12k", "16k", "20k")


@pytest.mark.parametrize("size", STATE_SIZES)
def test_a_full_state_directory_fails_in_one_sentence_and_leaves_nothing(box: Box, size: str) -> None:
    """The runtime's --root on a tmpfs of a few pages: a create that cannot write its record undoes what it made."""
    bundle = box.write(plain_config("true"))
    root = box.base / "small"
    root.mkdir()
    argv = [str(box.runtime.path), "--root", str(root), "create", "--bundle", str(bundle), box.ident]
    fill = f"mount -t tmpfs -o size={size} none {root} && {' '.join(argv)}; code=$?; ls -A {root} | grep -v @cache"
    delete = f"{argv[0]} --root {root} delete --force {box.ident} >&2 || exit 99"
    done = box.raw("unshare", "-m", "--propagation", "private", "sh", "-c", f"{fill}; {delete}; exit $code")
    assert done.code == 1 or (done.code == 0 and size != STATE_SIZES[0]), done.details()
    if done.code == 1:
        assert_one_sentence(done.err, "no space left on device")
        assert done.out == ""


@pytest.mark.parametrize("limit", range(4, 28))
def test_too_few_descriptors_fail_in_one_sentence_and_leave_nothing(box: Box, limit: int) -> None:
    """EMFILE at one call after the other."""
    bundle = box.write(plain_config("true"))
    command = box.command("run", "--bundle", str(bundle), box.ident)
    done = box.raw("sh", "-c", f"ulimit -n {limit}; exec {' '.join(command)}")
    if done.code:
        # 127: the dynamic loader could not even load the runtime, and says so in its own way.
        assert_one_sentence(done.err, "too many open files" if done.code != 127 else "error 24")
    assert not (box.runtime.root / box.ident).exists()


@pytest.mark.parametrize("name", ["create", "run --detach", "start", "exec", "update", "delete"])
def test_too_little_for_a_command(box: Box, name: str) -> None:
    """EAGAIN by a full pids cgroup, ENOMEM by RLIMIT_AS, EMFILE by RLIMIT_NOFILE."""
    facility.need(facility.cgroup_v1)
    bundle = box.write(plain_config("sleep", "600"))
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    group = cgroup_of(os.getpid(), "pids") / f"tight-{box.ident.removeprefix('sec-')}"
    group.mkdir()
    try:
        (group / "pids.max").write_text("1")
        full = (f"echo $$ > {group}/cgroup.procs", "resource temporarily unavailable")
        few = [(f"ulimit -n {limit}", "too many open files") for limit in (4, 9, 14)]
        for limit, words in (full, ("ulimit -v 12000", "less than 32 mib: cannot allocate memory"), *few):
            prepare(box, name, bundle)
            done = box.raw("sh", "-c", f"{limit}; exec {' '.join(command_line(box, name, bundle))}")
            if done.code:
                assert_one_sentence(done.err, words)
            clean_up(box, before, f"{name} with {limit}")
    finally:
        group.rmdir()


@pytest.mark.parametrize("name", ["create", "run", "exec", "delete"])
def test_too_little_memory(box: Box, name: str) -> None:
    """A cgroup of the runtime's own that is too small: its processes are killed, or a call fails."""
    facility.need(facility.cgroup_v1)
    bundle = box.write(plain_config(*(("true",) if name == "run" else ("sleep", "600"))))
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    group = cgroup_of(os.getpid(), "memory") / f"tight-{box.ident.removeprefix('sec-')}"
    group.mkdir()
    try:
        failed = 0
        for limit in (512, 1024):
            (group / "memory.limit_in_bytes").write_text(f"{limit}K")
            prepare(box, name, bundle)
            argv = " ".join(command_line(box, name, bundle))
            done = box.raw("sh", "-c", f"sh -c 'echo $$ > {group}/cgroup.procs; exec {argv}'; exit $?")
            failed += done.code != 0
            if done.code not in (0, 128 + 9):
                assert_one_sentence(done.err, "")
            clean_up(box, before, f"{name} with {limit} KiB")
        assert failed
    finally:
        group.rmdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("chown 1 {0} && chmod 700 {0}", "config.json: read the configuration: permission denied"),
        ("rm -r {0}", "config.json: read the configuration: no such file or directory"),
        ("rm -r {0} && touch {0}", "config.json: read the configuration: not a directory"),
        ("cd {0} && rm -r {0}", "find the current directory: no such file or directory"),
    ],
)
def test_a_bundle_that_cannot_be_read(box: Box, spoil: str, words: str) -> None:
    bundle = box.write(plain_config("true"))
    option = "" if "cd" in spoil else f"--bundle {bundle}"
    rights = "setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all"
    argv = " ".join(box.command("create", option, box.ident))
    done = box.raw("sh", "-c", f"{spoil.format(bundle)}; {rights} {argv}").expect(1)
    assert_one_sentence(done.err, words)
    assert not box.runtime.root.exists()


FAILING = {
    "create": (1, "move the root filesystem over /: move_mount: invalid argument"),  # what was mounted on it went too
    "start": (1, "no such file or directory"),
    "exec": (255, "no such file or directory"),
}


@pytest.mark.parametrize("name", [*FAILING, "update", "delete"])
def test_a_bundle_that_goes_meanwhile(box: Box, name: str) -> None:
    """Everything of it: while a `create` waits for a hook, or before another command."""
    config, goes = plain_config("sleep", "600"), f"rm -r {box.base}/bundle"
    bundle = box.write(with_hook(config, "createRuntime", "/bin/sh", "-c", goes) if name == "create" else config)
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    prepare(box, name, bundle)
    argv = " ".join(command_line(box, name, bundle))
    done = box.raw("sh", "-c", argv if name == "create" else f"{goes}; {argv}")
    code, words = FAILING.get(name, (0, ""))
    assert done.code == code, done.details()
    if code:
        assert_one_sentence(done.err, words)
    clean_up(box, before, f"{name} without its bundle")


FULL = {
    "full": ("size=4k", "head -c 9000 /dev/zero > {0}/filler 2>/dev/null; true", "no space left on device"),
    "inodes": ("nr_inodes=2", "touch {0}/filler", "no space left on device"),
    "read-only": ("size=4k", "mount -o remount,ro {0}", "read-only file system"),
}


@pytest.mark.parametrize("fault", [*FULL, "missing"])
def test_a_log_that_cannot_be_written(box: Box, fault: str) -> None:
    """One that cannot be made is an error; a record that does not fit into it is no reason to fail."""
    options, spoil, words = FULL.get(fault, ("", "", "no such file or directory"))
    small = box.base / "small"
    small.mkdir()
    bundle = box.write(plain_config("true"))
    argv = " ".join(box.command("--log", f"{small}/log", "create", "--bundle", str(bundle), box.ident))
    unfit = " ".join(box.command("--log", f"{small}/log", "state", "nobody"))
    mount = f"mount -t tmpfs -o {options} none {small} && {spoil.format(small)}" if options else f"rmdir {small}"
    script = f"{mount} && {unfit}; {argv}"
    done = box.raw("unshare", "-m", "--propagation", "private", "sh", "-c", script)
    said = [line for line in done.err.splitlines() if not line.startswith(("hint: ", "head: "))]
    if fault == "full":
        assert said == ["ocirun state nobody: container does not exist"]
        assert box.runtime.status(box.ident) == "created"
    else:
        assert done.code == 1
        assert said == [f"ocirun {small}/log: open the log: {words}"] * 2
        assert not box.runtime.root.exists()


@pytest.mark.parametrize("fault", FULL)
@pytest.mark.parametrize("command", ["create", "run --detach"])
def test_a_pid_file_that_cannot_be_written(box: Box, fault: str, command: str) -> None:
    """One sentence, no container, and nothing beside the place of the pid file."""
    options, spoil, words = FULL[fault]
    small = box.base / "small"
    small.mkdir()
    bundle = box.write(plain_config("true"))
    argv = box.command(*command.split(), "--bundle", str(bundle), "--pid-file", f"{small}/pid", box.ident)
    before = HostSnapshot.take(box.runtime.root, scope=[box.ident])
    script = f"mount -t tmpfs -o {options} none {small} && {spoil.format(small)} && {' '.join(argv)}; code=$?"
    done = box.raw("unshare", "-m", "--propagation", "private", "sh", "-c", f"{script}; ls -A {small}; exit $code")
    assert_one_sentence(done.expect(1).err, words)
    assert "write the pid file" in done.err
    assert done.out.split() in ([], ["filler"])
    before.assert_unchanged()


@pytest.mark.parametrize("fault", FULL)
@pytest.mark.parametrize("name", ["create", "start", "exec", "run", "update", "delete"])
def test_a_state_directory_that_cannot_be_written(box: Box, name: str, fault: str) -> None:
    """A command works or says in one sentence why not; with space again, `delete --force` cleans up."""
    options, spoil, words = FULL[fault]
    options = {"size=4k": "size=64k", "nr_inodes=2": "nr_inodes=9"}[options]
    bundle = box.write(plain_config(*(("true",) if name == "run" else ("sleep", "600"))))
    root = box.runtime.root
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", root], check=True)
    try:
        before = HostSnapshot.take(scope=[box.ident])
        prepare(box, name, bundle)
        fill = spoil.replace("9000", "90000").replace("touch", "seq -f {0}/filler%g 9 | xargs -n1 touch 2>&-; :")
        subprocess.run(["sh", "-c", fill.format(root)], check=True)
        done = box.raw(*command_line(box, name, bundle))
        if done.code:
            assert_one_sentence(done.err, words)
        subprocess.run(["sh", "-c", f"mount -o remount,rw {root}; rm -f {root}/filler*"], check=True)
        clean_up(box, before, f"{name} with a state directory that is {fault}")
    finally:
        subprocess.run(["umount", root], check=True)


def assert_one_sentence(text: str, words: str) -> None:
    """One line, or one with a hint, that holds the words."""
    lines = [line for line in text.splitlines() if not line.startswith("hint:")]
    assert len(lines) == 1, text
    assert words in lines[0].lower()
    assert "Traceback" not in text
