"""The site of the pages: it is built without a network, every link leads somewhere, and no page asks another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from docsite import pages
from docsite.__main__ import render
from support import facility
from support.browser import Browser, chromium
from support.bundle import REPOSITORY
from support.facility import find_program, need

from ocirun import options

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.process]

LOADING = {"src", "srcset", "poster", "data", "xlink:href"}
"""Attributes of whatever element that make a browser load something; `href` does it in `link` alone."""
ELSEWHERE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
SHEET = re.compile(r"""(?:url\(|@import)\s*["']?([^"')]*)""")
PHONE, DESKTOP = (360, 740), (1280, 900)
FITS = "document.documentElement.scrollWidth <= innerWidth"


class Loaded(HTMLParser):
    """What a page loads, and what it links to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.classes: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in LOADING or (name, tag) == ("href", "link"):
                self.loads.append(value or "")
            elif name == "href":
                self.links.append(value or "")
            elif name == "id":
                self.names.add(value or "")
            elif name == "class":
                self.classes |= set((value or "").split())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a network namespace that has not even a loopback device that is up."""
    need(facility.root)
    folder = tmp_path_factory.mktemp("docs") / "site"
    argv = [find_program("unshare") or "unshare", "--net", sys.executable, "-m", "docsite", str(folder)]
    roots = ":".join(str(REPOSITORY / name) for name in ("spec", "runtime", "conformance"))
    env = os.environ | {"PYTHONPATH": roots}
    done = subprocess.run(argv, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def loaded(site: Path) -> dict[Path, Loaded]:
    """All pages by their files."""
    return {page: Loaded(page) for page in site.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site: Path, loaded: dict[Path, Loaded]) -> None:
    assert len(loaded) > 40
    for page, found in loaded.items():
        assert [each for each in found.loads if ELSEWHERE.match(each)] == [], page
        assert "mermaid" not in found.classes, f"{page}: the theme fetches what draws it"
    for sheet in site.rglob("*.css"):
        assert [each for each in SHEET.findall(sheet.read_text()) if ELSEWHERE.match(each)] == [], sheet


def test_every_link_leads_to_a_page_and_a_place(loaded: dict[Path, Loaded]) -> None:
    """Also those of generated pages, and to ids that are no headings."""
    for page, found in loaded.items():
        if page.name == "404.html":  # its links begin at the server's root
            continue
        for link in found.links:
            name, _, place = link.partition("#")
            if ":" in name:
                continue
            target = (page.parent / name).resolve() if name else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), (page, link)
            if place and target in loaded:
                assert place in loaded[target].names, (page, link)


@pytest.mark.parametrize("command", options.COMMANDS, ids=lambda command: command.name)
def test_each_command_has_a_page(site: Path, command: options.Command) -> None:
    text = (site / "reference" / "commands" / f"{command.name}.html").read_text()
    assert [option.name for option in command.options if not option.hidden and f"--{option.name}<" not in text] == []
    assert "Exit codes" in text


def test_the_reference_has_every_row(site: Path) -> None:
    for name, count in (("requirements", 276), ("properties", 211)):
        assert (site / "reference" / f"{name}.html").read_text().count("<details>") == count


def test_pages_in_a_browser(site: Path) -> None:
    """They ask for files of the site alone, and are no wider than the window."""
    need(chromium)
    with Browser() as browser:
        for name in ("index", "tutorial", "reference/requirements"):
            browser.open(site / f"{name}.html")
            assert [each for each in browser.requests if not each.startswith((f"file://{site}/", "data:"))] == []
            for size in (PHONE, DESKTOP):
                browser.resize(*size)
                assert browser.ask(FITS), (name, size)


def test_links_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.md").write_text("# Title\n\n[page](nothing.md) [place](#nothing)\n")
    said = render(tmp_path / "pages", tmp_path / "site", ["index.md"])
    assert "contains a link 'nothing.md'" in said
    assert "contains a link '#nothing'" in said


def test_a_link_to_what_the_site_does_not_have() -> None:
    assert pages.with_links("[a](../README.md#b)", "docs/do.md") == "[a](index.md#b)"
    assert pages.with_links("[a](tests/evidence/properties.tsv)", "SECURITY.md") == "[a](reference/properties.md)"
    with pytest.raises(ValueError, match="dev, which is not on the site"):
        pages.with_links("[a](../dev)", "docs/do.md")


def test_pages_that_nobody_has_placed(tmp_path: Path) -> None:
    for name in ("index", "do", "zebra", "engines/other"):
        (tmp_path / f"{name}.md").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.md").write_text("# Title\n")
    found = {title: listed for section in pages.navigation(tmp_path) for title, listed in section.items()}
    assert found["Use it"] == ["do.md", "zebra.md"]
    assert found["With an engine"] == ["engines/other.md"]


def test_charts(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    for name in ("run-time.svg", "exec.svg", "results.json"):
        (tmp_path / "benchmarks" / name).touch()
    (tmp_path / "benchmarks" / "results.txt").write_text("run 1\n")
    pictures = "![exec](benchmarks/exec.svg)\n\n![run time](benchmarks/run-time.svg)"
    assert pages.charts(tmp_path) == f"{pictures}\n\n```text\nrun 1\n```"
