"""What the pages of `docs/engines` tell people to write and to type, as the tests use it."""

from __future__ import annotations

import json
import re
from typing import Any

from .bundle import REPOSITORY, Config

PAGES = REPOSITORY / "docs" / "engines"
INSTALLED = "/usr/local/bin/ocirun"


def fenced(page: str, language: str) -> list[str]:
    """The blocks of this language in a page, in their order; AssertionError when there is none."""
    text = (PAGES / page).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks, f"no block of {language} in {page}"
    return blocks


def containerd_runtimes() -> tuple[str, str]:
    """The TOML that makes ocirun a runtime of containerd's CRI plugin, and what makes it that of all pods."""
    runtimes, default = fenced("containerd.md", "toml")
    assert runtimes.count(INSTALLED) == 1
    return runtimes, default


def system_container() -> Config:
    """The configuration of a container whose first process is systemd."""
    (block,) = fenced("system-containers.md", "json")
    config: Config = json.loads(block)
    return config


def docker_settings(key: str) -> dict[str, Any]:
    """The block of daemon.json that has this key."""
    found: list[dict[str, Any]] = [json.loads(block) for block in fenced("docker.md", "json")]
    return next(block for block in found if key in block)
