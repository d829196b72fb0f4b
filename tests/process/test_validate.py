"""`validate` as a command, and the hints of a failed `run`, which come from the same checks."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from process.box import changed, one_sentence
from support import facility
from support.bundle import Config, default_config, mount
from support.command import run_command
from support.console import Interactive
from support.facility import need

if TYPE_CHECKING:
    from pathlib import Path

    from process.box import Box
    from support.pages import Block

pytestmark = [pytest.mark.process]

GOOD = '{\n  "ociVersion": "1.0.0",\n  "root": {"path": "rootfs"}\n}\n'
CAREFUL = GOOD.replace('"root"', '"rot": 1, "root"')
BAD = GOOD.replace('"rootfs"', "5")
ESCAPE = "\x1b["


def call(program: Path, folder: Path, *words: str) -> tuple[int, str, str]:
    done = run_command([str(program), "validate", *words], folder / "call", cwd=folder)
    return done.code, done.out, done.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("good", GOOD), ("careful", CAREFUL), ("bad", BAD)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    (tmp_path / "binary").write_bytes(b'{"a": "\xff"}')
    return tmp_path


BAD_TOLD = "bad/config.json:3:20: error: /root/path: 5 is not allowed here\n    expected: a string\n"

CODES = [
    (["good"], 0, "good/config.json: no problems"),
    (["-b", "good/config.json", "--strict"], 0, "good/config.json: no problems"),
    (
        ["careful"],
        0,
        "careful/config.json:3:3: warning: /rot: unknown property, it is ignored\n    hint: did you mean root?",
    ),
    (["careful", "--strict"], 1, "careful/config.json:3:3: error: /rot: unknown property"),
    (["bad"], 1, BAD_TOLD),
    (["binary"], 1, "binary:1:8: error: byte 7 (0xff) is not UTF-8"),
]
NOT_LOOKED = [
    (["nowhere"], "nowhere: read the configuration: no such file or directory"),
    (["."], "config.json: read the configuration: no such file or directory"),
    ([], "config.json: read the configuration: no such file or directory"),
    (["good", "--bundle", "bad"], "the bundle is named twice"),
    (["good", "bad"], "validate takes [BUNDLE]: 2 given"),
    (["good", "--format", "xml"], "--format takes text, json or sarif, not 'xml'"),
    (["good", "--sctrict"], "unknown option --sctrict"),
]


@pytest.mark.parametrize(("words", "code", "said"), CODES, ids=[" ".join(row[0]) for row in CODES])
def test_exit_codes(program: Path, folder: Path, words: list[str], code: int, said: str) -> None:
    found, out, err = call(program, folder, *words)
    assert (found, err) == (code, "")
    assert out.startswith(said)
    assert ESCAPE not in out


@pytest.mark.parametrize(("words", "said"), NOT_LOOKED, ids=[" ".join(row[0]) for row in NOT_LOOKED])
def test_what_cannot_be_looked_at(program: Path, folder: Path, words: list[str], said: str) -> None:
    found, out, err = call(program, folder, *words)
    assert (found, out) == (2, "")
    assert said in err.splitlines()[0]


def test_formats_for_programs(program: Path, folder: Path) -> None:
    code, out, _ = call(program, folder, "careful", "--format", "json")
    document = json.loads(out)
    assert (code, document["errors"], document["warnings"]) == (0, 0, 1)
    assert document["problems"] == [
        {
            "severity": "warning",
            "kind": "caution",
            "line": 3,
            "column": 3,
            "pointer": "/rot",
            "message": "unknown property, it is ignored",
            "expected": "",
            "hint": "did you mean root?",
        }
    ]
    code, out, _ = call(program, folder, "bad", "-f", "sarif")
    assert code == 1
    assert [result["ruleId"] for result in json.loads(out)["runs"][0]["results"]] == ["schema"]


@pytest.mark.parametrize("plain", [{}, {"NO_COLOR": "1"}], ids=str)
def test_on_a_terminal(program: Path, folder: Path, plain: dict[str, str]) -> None:
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"} | plain
    with Interactive([str(program), "validate", "bad"], cwd=folder, env=env) as session:
        assert session.wait() == 1
        text = session.terminal.text.replace("\r\n", "\n")
    assert (ESCAPE in text) == (not plain)
    if plain:
        assert text.startswith(BAD_TOLD)
    else:
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
        shown = '      "root": {"path": 5}\n' + " " * 23 + "^\n"
        assert text.startswith("bad/config.json:3:20: error: /root/path: 5 is not allowed here\n" + shown)


@pytest.mark.privileged
def test_the_host_is_looked_at_and_left_alone(box: Box) -> None:
    config = default_config("nosuchprogram")
    config["mounts"].append(mount("/x", "bind", "/nowhere", "bind"))
    config["linux"]["resources"]["memory"] = {"limit": 1 << 26}
    bundle = box.write(config)
    box.runtime.root.mkdir()
    before = box.snapshot()
    result = box.runtime.call("validate", str(bundle), "--host", "--format", "json").expect(1)
    before.assert_unchanged()
    found = [(each["pointer"], each["kind"]) for each in json.loads(result.out)["problems"]]
    assert found == [("/process/args/0", "host"), ("/mounts/7/source", "host")]
    assert json.loads(box.runtime.call("validate", str(bundle), "--format", "json").ok().out)["problems"] == []


READ_BY_ENGINES = ("permission denied", "not permitted", "not found in", "no such file or directory", "does not exist")
"""Podman classifies by such words, in all of standard error where it is not told that the runtime writes JSON."""
HINTS: list[tuple[str, object, bytes, str, str]] = [
    # pointer to change, value, content of /bin/subject, words of the sentence, words of the hint
    ("/process/args", ["subjetc"], b"", "executable file not found in $PATH", "did you mean subject?"),
    ("/process/args", ["subject"], b"#!/bin/sh\r\n", "no such file or directory", "CR LF"),
    ("/process/args", ["subject"], b"hello\n", "exec format error", "neither an ELF file nor a script"),
    ("/mounts/-", mount("/x", "tmpfs", "t", "noexe"), b"", "invalid argument", "did you mean noexec?"),
    ("/mounts/-", mount("/x", "bind", "rootf", "bind"), b"", "no such file or directory", "/rootfs?"),
]


@pytest.mark.privileged
@pytest.mark.parametrize(
    ("pointer", "value", "content", "said", "hint"), HINTS, ids=[f"{row[0]}={row[1]}{row[2]!r}"[:60] for row in HINTS]
)
def test_hints_of_a_failed_run(box: Box, pointer: str, value: object, content: bytes, said: str, hint: str) -> None:
    """The sentence is as it was: engines read it; the hint is a line of its own, on standard error alone."""
    path = box.rootfs / "bin" / "subject"
    path.write_bytes(content)
    path.chmod(0o755)
    config: Config = changed(default_config(), pointer, value)
    result = box.run(config).expect(1)
    assert said in one_sentence(result)
    (line,) = [line for line in result.err.splitlines() if line.startswith("hint: ")]
    assert hint in line
    assert not any(each in line for each in READ_BY_ENGINES)
    assert "hint: " not in result.last_error


@pytest.mark.privileged
@pytest.mark.parametrize(
    ("content", "mode", "hint"),
    [
        (b"#!/bin/none\n", 0o755, "hint: the image has no /bin/none"),
        (b"", 0o644, "hint: the user 0 may not execute /bin/subject, whose mode is 0644: chmod +x /bin/subject"),
        (None, 0, "hint: did you mean subjects?"),
    ],
)
def test_hints_of_a_failed_start(box: Box, content: bytes | None, mode: int, hint: str) -> None:
    """`create` has found the program; it is another one, or gone, when it is to run."""
    path = box.rootfs / "bin" / "subject"
    path.write_bytes(b"")
    path.chmod(0o755)
    box.create(default_config("/bin/subject")).ok()
    path.rename(path.with_name("subjects"))
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    result = box.runtime.start(box.ident).expect(1)
    assert one_sentence(result).startswith(f"start {box.ident}: /process/args/0: exec '/bin/subject': ")
    (line,) = [line for line in result.err.splitlines() if line.startswith("hint: ")]
    assert line.startswith(hint)
    assert not any(each in line for each in READ_BY_ENGINES)


@pytest.mark.parametrize(
    ("bundle", "hint"),
    [
        ("empty", "ocirun spec writes one; or --bundle names the directory that has it"),
        ("here/rootfs", "{}/here has one; --bundle names the directory"),
        (".", "{}/here has one; --bundle names the directory"),
        ("heer", "did you mean {}/here?"),
        ("quite/another", "{} has no quite"),
        ("another", "there is no directory {}/another; --bundle names the bundle's directory"),
    ],
)
def test_hints_about_a_missing_configuration(program: Path, tmp_path: Path, bundle: str, hint: str) -> None:
    for name in ("empty/inner", "here/rootfs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "here" / "config.json").write_text("{}")
    command = [str(program), "--root", str(tmp_path / "state"), "run", "--bundle", str(tmp_path / bundle), "web"]
    result = run_command(command, tmp_path / "out").expect(1)
    assert result.err.splitlines()[1:] == [f"hint: {hint.format(tmp_path)}"]


@pytest.mark.executes("docs/validate.md")
def test_the_page_s_transcript(program: Path, tmp_path: Path, blocks: list[Block]) -> None:
    """What docs/validate.md shows, typed into one shell."""
    need(facility.root, facility.busybox)
    page = "".join(block.text for block in blocks)
    typed = [line.removeprefix("$ ") for line in page.splitlines() if line.startswith("$ ")]
    script = "\n".join(f"cat <<'END'\n$ {each}\nEND\n(exit $code)\n{each}\ncode=$?" for each in typed)
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    assert run_command(["sh", "-c", f"code=0\n{script}"], tmp_path / "call", cwd=tmp_path, env=env).out == page
