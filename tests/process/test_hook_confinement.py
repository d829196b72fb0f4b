"""startContainer hooks are the image's programs: what confines the program confines them.

Here the filter and the limits; profiles of AppArmor are in `tests/vm/test_apparmor.py`.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence, status_lines
from process.calls import allowing, number, rule
from process.seccomp_listener import Listener
from support.bundle import default_config, with_hook

if TYPE_CHECKING:
    from process.box import Box
    from support.bundle import Config

pytestmark = [pytest.mark.process, pytest.mark.privileged]

SCRIPT = "cat /proc/self/status >/shared/status; mkdir /tmp/new 2>/shared/error; ulimit -n >/shared/files; true"
# What the runtime does to run a hook: a profile that forbids it must not keep a hook from running.
RUNNING_A_HOOK = ("pipe2", "poll", "ppoll", "pidfd_open", "pidfd_send_signal", "prctl")
FILTER_MODE = "2"
FILES = 77


def hooked(box: Box, profile: dict[str, Any], **process: Any) -> Config:
    config = box.with_shared(default_config())
    config["process"] |= {"args": ["true"], **process}
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": FILES, "hard": FILES}]
    return with_hook(changed(config, "/linux/seccomp", profile), "startContainer", "/bin/sh", "-c", SCRIPT)


def confined(box: Box, words: str) -> None:
    """The hook ran, under the filter, whose answer to mkdir(2) is said with `words`."""
    found = status_lines((box.shared / "status").read_text())
    assert found["Seccomp"] == FILTER_MODE
    assert words in (box.shared / "error").read_text()
    assert not (box.rootfs / "tmp" / "new").exists()
    assert (box.shared / "files").read_text().strip() == str(FILES)


@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("uid", [0, 65534])
def test_the_filter(box: Box, uid: int, no_new_privileges: bool) -> None:
    box.shared.chmod(0o777)
    refused = [rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat", errnoRet=errno.EMLINK)]
    profile = allowing(*refused, rule("SCMP_ACT_ERRNO", *RUNNING_A_HOOK))
    config = hooked(box, profile, user={"uid": uid, "gid": uid}, noNewPrivileges=no_new_privileges)
    box.run(config).ok()
    confined(box, "Too many links")
    assert status_lines((box.shared / "status").read_text())["NoNewPrivs"] == str(int(no_new_privileges))


def test_a_hook_that_the_filter_kills_says_so(box: Box) -> None:
    config = hooked(box, allowing(rule("SCMP_ACT_KILL_PROCESS", "mkdir", "mkdirat")))
    config["hooks"]["startContainer"][0]["args"][-1] = "exec mkdir /tmp/new"
    sentence = one_sentence(box.run(config).expect(1))
    assert "/hooks/startContainer/0: error running hook /bin/sh: " in sentence
    assert sentence.endswith("killed by signal 31 (bad system call)")


def test_a_filter_that_notifies(box: Box) -> None:
    path = Path(f"/tmp/ocirun-{box.ident}.sock")  # a test's folder may be longer than a socket's address
    with Listener(path, {number(name): -errno.EMLINK for name in ("mkdir", "mkdirat")}) as listener:
        profile = allowing(rule("SCMP_ACT_NOTIFY", "mkdir", "mkdirat"), listenerPath=str(listener.path))
        box.run(hooked(box, profile)).ok()
        assert len(listener.received) == 1
    confined(box, "Too many links")
