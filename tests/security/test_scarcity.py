"""A host that runs out of something: one sentence says what, and nothing is left behind."""

from __future__ import annotations

import pytest
from security.box import Box, plain_config

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
        assert_one_sentence(done.err, "too many open files" if done.code != 127 else "Error 24")
    assert not (box.runtime.root / box.ident).exists()


def assert_one_sentence(text: str, words: str) -> None:
    """One line, or one with a hint, that holds the words."""
    lines = [line for line in text.splitlines() if not line.startswith("hint:")]
    assert len(lines) == 1, text
    assert words in lines[0]
    assert "Traceback" not in text
