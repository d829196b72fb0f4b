"""Builds the site into a folder: `python -m docsite FOLDER`. Neither asks another host for anything.

The pages go to FOLDER.pages first, with the reference and with links that hold there. MkDocs makes HTML of them; with
`--strict` a link to nothing fails it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import commands, evidence, pages

THEME = {
    "name": "material",
    "font": False,
    "features": ["navigation.indexes", "navigation.footer", "navigation.top", "toc.follow"],
    "palette": [
        {"media": f"(prefers-color-scheme: {name})", "scheme": scheme, "primary": "indigo", "toggle": toggle}
        for name, scheme, toggle in (
            ("light", "default", {"icon": "material/weather-night", "name": "dark"}),
            ("dark", "slate", {"icon": "material/weather-sunny", "name": "light"}),
        )
    ],
}


def configuration(source: Path, site: Path, navigation: list[Any]) -> dict[str, Any]:
    """What mkdocs.yml has."""
    return {
        "site_name": "ocirun",
        "site_description": "An OCI runtime for Linux, in Python, with a suite that judges any OCI runtime",
        "docs_dir": str(source),
        "site_dir": str(site),
        "use_directory_urls": False,
        "theme": THEME,
        "plugins": ["search"],
        "extra": {"generator": False},
        "extra_css": ["site.css"],
        "markdown_extensions": ["tables", "pymdownx.highlight", "pymdownx.superfences", {"toc": {"permalink": True}}],
        "validation": {"links": {"anchors": "warn", "unrecognized_links": "warn", "absolute_links": "warn"}},
        "nav": navigation,
    }


def render(source: Path, site: Path, navigation: list[Any]) -> str:
    """Make HTML of a folder of pages; what MkDocs says when it finds something wrong, else nothing."""
    settings = site.with_name(f"{site.name}.json")
    settings.write_text(json.dumps(configuration(source, site, navigation), indent=2))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(settings)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def main(site: Path) -> str:
    """Build all of it; what is wrong, or nothing."""
    source = site.with_name(f"{site.name}.pages")
    shutil.rmtree(source, ignore_errors=True)
    pages.copy(source)
    reference = source / "reference"
    for name, text in (commands.pages() | evidence.pages()).items():
        (reference / name).parent.mkdir(parents=True, exist_ok=True)
        (reference / name).write_text(text)
    return render(source, site, pages.navigation(source))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()) or None)
