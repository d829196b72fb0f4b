"""The forms in which judgements are written: each a function from judgements to text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .html import html
from .json import json
from .junit import junit
from .markdown import markdown
from .tap import tap
from .text import text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocirun_conformance.verdict import Judgement

FORMATS: dict[str, Callable[[Sequence[Judgement]], str]] = {
    "text": text,
    "tap": tap,
    "junit": junit,
    "json": json,
    "html": html,
    "markdown": markdown,
}
