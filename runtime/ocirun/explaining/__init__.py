"""What a configuration comes to, without doing it: `explain` and `diff-config` look at the plan that `create` would do.

Cold. `composed` is the way in; `sequence` says who does what when, `calls` what a step asks of the kernel, `order` why
it stands where it stands, `effects` what of it makes a difference. `text`, `mermaid` and `document` write that down.
"""

from __future__ import annotations

import os

from ocirun import bundle, state
from ocirun.cli import Arguments
from ocirun.facts import Facts
from ocirun.linux import console
from ocirun.plan import compose
from ocirun.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.bundle import Bundle
    from ocirun.plan import Plan


def load(path: str) -> Bundle:
    """The bundle of a folder, or of a configuration file in one; checked as for `create`."""
    if os.path.isfile(path):
        folder, name = os.path.split(path)
        return bundle.load(folder, name)
    return bundle.load(path)


def composed(found: Bundle, arguments: Arguments, general: Arguments) -> Plan:
    """The plan of a `run` of that bundle, by what makes that of `create`. Nothing is opened for it, nothing changed.

    arguments: the options of `create` that change a plan, and `id`.
    """
    asked = Arguments("run")
    asked.values = arguments.values
    asked.positionals = [arguments.text("id", "ID")]
    state.check_id(asked.positionals[0])
    console.check(found.config.get("process") or {}, "/process", False, "")
    root = os.path.abspath(general.text("root") or state.default_root())
    return compose(found, Facts(), Request(asked, general, root))
