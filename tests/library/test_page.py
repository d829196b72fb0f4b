"""Every example of docs/library.md works, and prints what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from process.test_wait import kept
from support import facility
from support.bundle import REPOSITORY
from support.facility import need
from support.host import HostSnapshot
from support.runtime import runtime_path

import ocirun

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.privileged]

PAGE = (REPOSITORY / "docs" / "library.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", PAGE, re.MULTILINE | re.DOTALL)
TABLE = dict(re.findall(r"^\| `(\w+)`?[^`|]*\| (.*) \|$", PAGE.partition("## What there is")[2], re.MULTILINE))


def titles() -> list[str]:
    return [re.findall(r"^## (.*)$", PAGE.partition(code)[0], re.MULTILINE)[-1].lower() for code, _ in EXAMPLES]


def run(folder: Path, argv: list[str], path: str) -> subprocess.CompletedProcess[str]:
    """In an environment of its own, whose state directory is in the folder."""
    environment = {"PATH": path, "XDG_RUNTIME_DIR": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(str(REPOSITORY / each) for each in ("runtime", "spec"))
    return subprocess.run(
        argv,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("code", "printed", "launched"),
    [*((*each, True) for each in EXAMPLES), *((*each, False) for each in EXAMPLES[:1])],
    ids=[*titles(), "without the launcher"],
)
def test_example(tmp_path: Path, bundle: Path, code: str, printed: str, launched: bool) -> None:
    need(kept, facility.cgroup_v1)
    assert bundle.parent == tmp_path
    path = f"{runtime_path().parent}:/usr/bin:/bin" if launched else "/usr/bin:/bin"
    before = HostSnapshot.take(scope=[str(tmp_path), f"/{tmp_path.name}-"])
    is_test = code.startswith("# test_")
    file = tmp_path / ("test_web.py" if is_test else "example.py")
    file.write_text(code)
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "-c", "/dev/null"] if is_test else []
    done = run(tmp_path, [sys.executable, *words, file.name], path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    if is_test:
        assert "2 passed" in done.stdout
    else:
        assert done.stdout == printed
    before.assert_unchanged()


@pytest.mark.parametrize("name", TABLE)
def test_the_table_has_what_there_is(name: str) -> None:
    """Methods, properties and what an object is given when it is made."""
    kind = getattr(ocirun, name)
    told = set(re.findall(r"`(\w+)`", TABLE[name]))
    there = {each for each in vars(kind) if not each.startswith("_")} | set(getattr(kind, "__dataclass_fields__", ()))
    assert there <= told | {"of"}
    assert told <= there | {"id", "code", "stdin", "stdout", "stderr"}


def test_everything_public_is_told_of() -> None:
    assert [name for name in ocirun.__all__ if f"`{name}" not in PAGE] == []
