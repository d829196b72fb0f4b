"""Pages: what is for a shell is executed by a test, and what they say of the project itself is so."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from docsite import results
from meta.sources import FOLDERS, parsed, python_files
from meta.test_evidence import rows
from support.bundle import REPOSITORY
from support.mistakes import MISTAKES
from support.pages import SHELL, blocks_of, documents, shell_blocks

from ocirun import options
from ocirun_conformance import catalogue

pytestmark = [pytest.mark.meta]


@cache
def claims() -> list[tuple[str, str, tuple[int, ...]]]:
    """(test, page, numbers of its shell blocks) of every mark `executes` on a test that takes the blocks."""
    found = []
    for path in [path for path in python_files("tests") if "executes(" in path.read_text()]:
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef) and any(each.arg == "blocks" for each in node.args.args):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.executes":
                        page, *numbers = (ast.literal_eval(each) for each in mark.args)
                        found.append((f"{path.name}::{node.name}", page, tuple(numbers)))
    return found


@pytest.mark.parametrize("page", documents())
def test_every_block_for_a_shell_is_executed(page: str) -> None:
    asked = [numbers for _test, claimed, numbers in claims() if claimed == page]
    unclaimed = [
        f"{page}: block {block.number}: {block.text.splitlines()[0]}"
        for block in blocks_of(page)
        if block.language in SHELL and not any(not numbers or block.number in numbers for numbers in asked)
    ]
    assert unclaimed == [], "wanted: a test with the mark `executes`, see tests/support/pages.py"


def test_claims_are_about_blocks_that_are_there() -> None:
    assert len(claims()) > 5
    for _test, page, numbers in claims():
        assert shell_blocks(page, *numbers)


@pytest.mark.parametrize("page", documents())
def test_nothing_for_a_shell_is_called_something_else(page: str) -> None:
    for block in blocks_of(page):
        assert block.language, f"{page}: a block without a language: {block.text.splitlines()[0]}"
        assert block.language in SHELL or not re.search(r"^(\$ |\./dev )", block.text, re.MULTILINE), (page, block.text)


def commands_of(program: str) -> set[str]:
    """The commands that `./dev` or `ocirun` has."""
    if program == "ocirun":
        return {command.name for command in options.COMMANDS}
    dispatched = (REPOSITORY / "dev").read_text().rpartition("case $command in")[2]
    patterns = re.findall(r"^([a-z| -]+)\) ", dispatched, re.MULTILINE)
    return {word.strip() for pattern in patterns for word in pattern.split("|")}


def codes(page: str) -> list[str]:
    """What stands as code within the sentences of a page."""
    text = re.sub(r"^ *```.*?^ *```", "", (REPOSITORY / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", documents())
@pytest.mark.parametrize("program", ["./dev", "ocirun"])
def test_commands_of_the_text_exist(page: str, program: str) -> None:
    """Where the program is the first word and a word follows."""
    named = [match[1] for code in codes(page) if (match := re.match(rf"{re.escape(program)} ([a-z][a-z-]*)", code))]
    assert set(named) - commands_of(program) == set()


@pytest.mark.parametrize("page", documents())
def test_options_of_the_text_exist(page: str) -> None:
    """Of commands behind which no words are a program's."""
    known = {command.name: command for command in options.COMMANDS if not command.tail}
    for code in codes(page):
        program, *words = code.split()
        if program == "ocirun" and (command := next((known[word] for word in words if word in known), None)):
            used = {word[2:].partition("=")[0] for word in words if word.startswith("--")}
            assert used - {"", *(option.name for option in (*command.options, *options.GLOBAL))} == set(), code


@pytest.mark.parametrize("page", documents())
def test_files_of_the_text_exist(page: str) -> None:
    """But for those with a word in capitals, which stands for something."""
    file = re.compile(rf"({'|'.join(FOLDERS)}|docs)/[^\s…A-Z]+")
    named = {code.partition("::")[0] for code in codes(page) if file.fullmatch(code)}
    assert [name for name in sorted(named) if not any(REPOSITORY.glob(name.rstrip("/")))] == []


def test_readme_s_numbers() -> None:
    found = results.load()
    assert found is not None
    failed = [sum(cells[at] == "fail" for cells in found.duties.values()) for at in range(len(found.runtimes))]
    lines = (REPOSITORY / "README.md").read_text().splitlines()
    table = [line.split("|")[-2].strip() for line in lines if line.startswith("|") and "](" in line]
    counted = [len(rows("requirements.tsv")), len(rows("properties.tsv")), len(catalogue.attacks()), len(MISTAKES)]
    assert table == [*map(str, counted[:2]), ", ".join(map(str, failed)), *map(str, counted[2:])]
    assert set(found.duties) == set(catalogue.requirements())


def test_packages_that_are_installed_are_named() -> None:
    text = (REPOSITORY / "dev").read_text()
    listed = re.search(r'TEST_PACKAGES="([^"]*)"', text)
    assert listed
    named = re.findall(r"[a-z0-9.+-]*[a-z0-9]", (REPOSITORY / "CONTRIBUTING.md").read_text())
    assert set(listed[1].split()) - set(named) == set()
