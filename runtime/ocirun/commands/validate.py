"""`validate`: all that is wrong with a configuration at once. Nothing on the host is changed."""

from __future__ import annotations

import os

from ocirun import bundle, log
from ocirun.errors import EXIT_ERROR, Failure
from ocirun_spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments
    from ocirun_spec.problem import Problem


def run(arguments: Arguments, general: Arguments) -> int:
    """0 without errors, 1 with some; what cannot be read or is no option is a `Failure` (2, by `options`)."""
    source = _source(arguments)
    style = arguments.text("format", "text")
    data = _read(source)
    from ocirun import cold

    cold.enable()
    host = arguments.flag("host")
    config, found = _judge(data, source, host, general.flag("systemd-cgroup"))
    if arguments.flag("strict"):
        from dataclasses import replace

        found = [replace(problem, severity="error") for problem in found]
    log.write_all(1, _report(style, found, source, host, config))
    return EXIT_ERROR if any(problem.severity == "error" for problem in found) else 0


def _source(arguments: Arguments) -> str:
    """The config's path, as far as it was named: a bundle is its directory or its config.json."""
    named = [*arguments.positionals, *arguments.many("bundle")]
    if len(named) > 1:
        raise Failure("the bundle is named twice")
    path = named[0] if named else "."
    return os.path.normpath(os.path.join(path, "config.json") if os.path.isdir(path) else path)


def _read(source: str) -> bytes:
    what = "the configuration"
    fd = bundle.open_file(source, what)
    try:
        return bundle.read_open(fd, source, what)
    finally:
        os.close(fd)


def _judge(data: bytes, source: str, host: bool, systemd: bool) -> tuple[str, list[Problem]]:
    """(the text, its problems)."""
    from ocirun.checks import judging

    try:
        text = jsontext.decode(data)
    except jsontext.JSONError as error:
        return error.text, [judging.undecodable(error, source)]
    return text, judging.judge(text, source, os.path.dirname(os.path.abspath(source)), host, systemd)


def _report(style: str, found: list[Problem], source: str, host: bool, config: str) -> str:
    from ocirun.checks import report

    if style == "json":
        return report.as_json(found, source)
    if style == "sarif":
        return report.sarif(found, source)
    if os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        return report.coloured(found, source, host, config)
    return report.text(found, source, host)
