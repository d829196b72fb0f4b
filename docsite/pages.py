"""The pages that people have written, with links that lead to pages of the site, and the order of all pages."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from . import results

REPOSITORY = Path(__file__).resolve().parents[1]
TOP = {"README.md": "index.md", "SECURITY.md": "security.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages of the repository's folder, and what they are on the site."""
GENERATED = {
    "tests/evidence/requirements.tsv": "reference/requirements.md",
    "tests/evidence/properties.tsv": "reference/properties.md",
}
"""Tables, and the pages that are made from them."""
USING = ("do", "mounts", "validate", "explain", "errors", "library")
ENGINES = ("podman", "docker", "containerd", "kubernetes", "system-containers")
REFERENCE = ("index", "properties", "requirements")
PLACED = ("index", "tutorial", "install", "dependencies", "test-your-runtime", "conformance", "benchmarks", "security",
          "contributing")  # fmt: skip
"""Pages of the top folder that have a place of their own; all others are among those about using it."""
CHARTS = "<!-- charts -->"
RESULTS = "<!-- results -->"
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_site(path: str) -> str:
    """Where a file of the repository is on the site; ValueError when it is not."""
    if found := (TOP | GENERATED).get(path):
        return found
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    raise ValueError(f"a link to {path}, which is not on the site")


def with_links(text: str, page: str) -> str:
    """The text of a page of the repository with links as from its place on the site."""
    here = os.path.dirname(page)

    def moved(link: re.Match[str]) -> str:
        target, anchor = link[1], link[2] or ""
        if ":" in target:
            return link[0]
        place = on_site(os.path.normpath(os.path.join(here, target)))
        return f"]({os.path.relpath(place, os.path.dirname(on_site(page)) or '.')}{anchor})"

    return LINK.sub(moved, text)


def charts(folder: Path) -> str:
    """All charts of the folder as pictures, and its tables."""
    found = sorted(folder.glob("benchmarks/*.svg"))
    pictures = [f"![{path.stem.replace('-', ' ')}](benchmarks/{path.name})" for path in found]
    tables = [f"```text\n{path.read_text()}```" for path in sorted(folder.glob("benchmarks/*.txt"))]
    return "\n\n".join([*pictures, *tables])


def copy(target: Path) -> None:
    """Fill a new folder with the pages and what they show."""
    docs = REPOSITORY / "docs"
    shutil.copytree(docs, target)
    shutil.copy(Path(__file__).with_name("site.css"), target)
    for page in [*TOP, *(f"docs/{path.relative_to(docs)}" for path in docs.rglob("*.md"))]:
        text = with_links((REPOSITORY / page).read_text(), page)
        text = text.replace(CHARTS, charts(docs)).replace(RESULTS, results.tables())
        (target / on_site(page)).write_text(text)


def _listed(source: Path, folder: str, first: tuple[str, ...]) -> list[str]:
    """The pages of a folder: those named first, as far as they are there, then the others."""
    there = sorted(path.stem for path in (source / folder).glob("*.md"))
    names = [name for name in first if name in there]
    return [os.path.join(folder, f"{name}.md") for name in [*names, *(each for each in there if each not in names)]]


def navigation(source: Path) -> list[Any]:
    """What MkDocs calls nav. A page that nobody has placed is among those about using it."""
    top = _listed(source, "", PLACED)
    using = [name for name in _listed(source, "", USING) if name.removesuffix(".md") not in PLACED]
    commands = _listed(source, "reference/commands", ())
    have = {name for name in top if name not in using}
    return [
        {"Home": "index.md"},
        {"Tutorial": "tutorial.md"},
        {"Use it": using},
        {"With an engine": [*(["install.md"] if "install.md" in have else []), *_listed(source, "engines", ENGINES)]},
        {"Judge a runtime": ["test-your-runtime.md", "conformance.md"]},
        {"Reference": [*_listed(source, "reference", REFERENCE), {"Commands": commands}]},
        {"How it works": ["contributing.md", *_listed(source, "design", ("processes", "sync", "mounts", "state"))]},
        {"Security": "security.md"},
        {"Benchmarks": "benchmarks.md"},
        *([{"Dependencies": "dependencies.md"}] if "dependencies.md" in have else []),
    ]
