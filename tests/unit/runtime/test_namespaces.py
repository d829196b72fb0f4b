"""Which namespaces are made, which are joined, by whom and in which order."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ocirun.errors import Failure
from ocirun.kernel import process as kernel
from ocirun.linux import namespaces
from ocirun.linux.namespaces import Namespaces

NOBODY: Any = None


def spaces(**wanted: str | None) -> Namespaces:
    """Namespaces by kind: None makes one, a path joins."""
    listed = [{"type": kind} if path is None else {"type": kind, "path": path} for kind, path in wanted.items()]
    return Namespaces({"linux": {"namespaces": listed}})


@pytest.mark.parametrize(
    ("wanted", "middle"),
    [
        ({}, False),
        ({"user": None}, False),
        ({"user": None, "network": None, "mount": None}, False),
        ({"user": "/u"}, True),
        ({"user": "/u", "network": "/n"}, True),
        ({"user": None, "network": "/n"}, True),
        ({"user": None, "pid": "/p"}, False),
        ({"user": None, "time": "/t"}, False),
        ({"user": None, "pid": "/p", "mount": "/m"}, True),
        ({"network": "/n", "mount": "/m", "pid": "/p"}, False),
    ],
)
def test_when_a_middle_process_is_needed(wanted: dict[str, str | None], middle: bool) -> None:
    assert spaces(**wanted).needs_middle is middle


def test_flags_of_the_clone() -> None:
    made = spaces(pid=None, network=None, ipc=None, uts=None, mount=None, user=None, time=None)
    expected = kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    assert made.new == expected | kernel.CLONE_NEWNS | kernel.CLONE_NEWUSER | kernel.CLONE_NEWTIME
    assert made.opened == {}


def test_a_new_cgroup_namespace_is_not_the_clones() -> None:
    assert spaces(cgroup=None).new == 0
    assert kernel.CLONE_NEWCGROUP in spaces(cgroup="/c").opened


def test_private_means_made_or_joined() -> None:
    some = spaces(pid=None, network="/n")
    assert some.private(kernel.CLONE_NEWPID)
    assert some.private(kernel.CLONE_NEWNET)
    assert not some.private(kernel.CLONE_NEWNS)


def test_the_mount_namespace_is_joined_last() -> None:
    some = spaces(mount="/m", network="/n", pid="/p", user="/u", time="/t", ipc="/i")
    assert [step.args[1] for step in some.in_order()] == ["/n", "/i", "/m"]


def test_what_is_joined_inside() -> None:
    some = spaces(mount="/m", uts="/u", network=None)
    steps = namespaces.inside(some)
    assert [step.deed for step in steps] == ["join", "join", "raise_loopback"]
    assert [step.text for step in steps[:2]] == ["join the uts namespace /u", "join the mount namespace /m"]
    assert [step.pointer for step in steps] == [
        "/linux/namespaces/1/path", "/linux/namespaces/0/path", "/linux/namespaces",
    ]  # fmt: skip


def test_a_middle_process_leaves_nothing_to_join() -> None:
    assert namespaces.inside(spaces(user="/u", network="/n")) == []


def test_a_namespace_of_another_type_is_refused() -> None:
    (step,) = namespaces.prepare(spaces(network="/proc/self/ns/uts"))
    with pytest.raises(Failure) as caught:
        step.do(step, NOBODY)
    os.close(step.fd)
    assert str(caught.value) == (
        "/linux/namespaces/0/path: /proc/self/ns/uts is a uts namespace: a network namespace is wanted"
    )


def test_a_file_that_is_no_namespace_is_refused() -> None:
    (step,) = namespaces.prepare(spaces(pid="/dev/null"))
    with pytest.raises(Failure, match=r"/dev/null is not a namespace: a pid namespace is wanted$"):
        step.do(step, NOBODY)
    os.close(step.fd)


def test_a_missing_file_is_named() -> None:
    (step,) = namespaces.prepare(spaces(pid="/no/such"))
    with pytest.raises(Failure) as caught:
        step.do(step, NOBODY)
    assert str(caught.value) == "/linux/namespaces/0/path: open the pid namespace /no/such: no such file or directory"


@pytest.mark.parametrize("kind", ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"])
def test_the_kernel_agrees_on_each_type(kind: str) -> None:
    file = {"network": "net", "mount": "mnt"}.get(kind, kind)
    (step,) = namespaces.prepare(spaces(**{kind: f"/proc/self/ns/{file}"}))
    step.do(step, NOBODY)
    assert not os.get_inheritable(step.fd)
    os.close(step.fd)
    assert namespaces.name_of(step.args[0]) == kind
