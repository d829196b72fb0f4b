"""The command line of `ocirun-conformance`."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import shutil
import signal
import sys
import traceback
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import probe, reports
from .judge import ROUNDS, Judge, Settings
from .progress import progress
from .reports.matrix import labels
from .reports.plain import printable
from .runtime import RUNC, SECONDS, read_adapter
from .selection import Unusable, chosen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from .case import Case
    from .verdict import Judgement

UNUSABLE = 2
"""The exit code when nothing could be judged, or not rightly."""

_EPILOG = """
exit codes: 0 no MUST fails; 1 a MUST fails; 2 the suite could not judge; 130 or 143 it was interrupted.
COMMAND is a path or a name, with options if there are any: --runtime 'crun --systemd-cgroup'.
"""


class Interrupted(KeyboardInterrupt):
    """By SIGINT or SIGTERM, whose number is the argument."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence; the whole usage is for who asks."""
        self.exit(UNUSABLE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = _Parser(
        prog="ocirun-conformance",
        usage="%(prog)s --runtime COMMAND [OPTION...]\n       %(prog)s compare COMMAND... [OPTION...]",
        description="Judge an OCI runtime by what the runtime specification demands.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("words", nargs="*", metavar="compare COMMAND...", help="judge several runtimes, and print one matrix")
    add("--runtime", metavar="COMMAND", action="append", default=[], help="the runtime")
    add("--adapter", metavar="FILE", type=Path, help="how operations are spelled (TOML), if not as with runc")
    add("--filter", metavar="TEXT", action="append", default=[], help="only cases whose name has this text; repeatable")
    add("--requirement", metavar="ID", action="append", default=[], help="only cases that cite this duty; repeatable")
    add("--level", choices=["must", "should", "may"], default="", help="only cases of this level")
    add("--security", action="store_true", help="try attacks that worked once, instead of judging duties")
    add("--rounds", metavar="N", type=_whole(1), default=ROUNDS, help="of each race (default: %(default)s)")
    add("--list", action="store_true", help="only print the cases: name, level, duties, title")
    add("--format", choices=list(reports.FORMATS), default="text", help="what is written in the end (default: text)")
    add("--output", metavar="FILE", type=Path, help="where to, instead of standard output")
    add("--jobs", metavar="N", type=_whole(1), default=os.cpu_count() or 1, help="cases side by side (default: CPUs)")
    add("--timeout", metavar="SECONDS", type=_seconds, default=SECONDS, help="for one call (default: %(default)g)")
    add("--keep", metavar="FOLDER", type=Path, help="leave what failed cases made there, and say how to repeat them")
    add("--probe", metavar="FILE", type=Path, help="a probe that is already compiled")
    add("--rootless", action="store_true", help="containers of a plain user, who runs this")
    add("--stop-at", metavar="N", type=_whole(0), default=0, help="end after N failures")
    return made


def _whole(least: int) -> type[int]:
    class Whole(int):
        def __new__(cls, text: str) -> Whole:  # noqa: PYI034 - it is no subclass that is asked for
            number = super().__new__(cls, text)
            if number < least:
                raise ValueError(text)
            return number

    Whole.__name__ = f"number (at least {least})"
    return Whole


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (seconds > 0 and math.isfinite(seconds)):
        raise argparse.ArgumentTypeError("must be more than 0")
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Judge; the exit code is 0 when no MUST fails, 1 when one does, 2 when the suite could not judge."""
    reader = parser()
    options = reader.parse_intermixed_args(argv)
    try:
        commands = _commands(options)
        cases = chosen(options.filter, options.requirement, options.level, security=options.security)
        if options.list:
            _print("".join(f"{_listed(case)}\n" for case in cases), None)
            return 0
        runtimes = [_program(command) for command in commands]
        settings = _settings(options)
        with _interruptible():
            judgements = _judge(runtimes, cases, settings)
        _print(reports.FORMATS[options.format](judgements), options.output)
    except (Unusable, probe.NoProbe, OSError, ValueError) as problem:
        return _say(f"{problem}", UNUSABLE)
    except Interrupted as interrupt:
        number = int(interrupt.args[0])
        return _say(f"interrupted by {signal.Signals(number).name}, and cleaned up", 128 + number)
    return max(judgement.exit_code for judgement in judgements)


def _say(sentence: str, code: int) -> int:
    sys.stderr.write(printable(f"ocirun-conformance: {sentence}") + "\n")
    return code


def _commands(options: argparse.Namespace) -> list[str]:
    found = list(options.runtime)
    if options.words:
        command, *others = options.words
        if command != "compare":
            raise Unusable(f"there is no command {command}; to judge a runtime of this name: --runtime {command}")
        found += others
    if not found and not options.list:
        raise Unusable("which runtime? Give --runtime COMMAND, or compare COMMAND...")
    return found


def _program(command: str) -> list[str]:
    """The words of a runtime's command, the program by its absolute path."""
    try:
        words = shlex.split(command)
    except ValueError as problem:
        raise Unusable(f"runtime {command}: {problem}") from None
    if not words:
        raise Unusable("the runtime's command is empty")
    found = shutil.which(words[0])
    if found is None:
        path = Path(words[0])
        if "/" not in words[0]:
            raise Unusable(f"runtime {words[0]}: there is no such program in PATH")
        if path.is_dir():
            raise Unusable(f"runtime {words[0]}: is a directory")
        raise Unusable(f"runtime {words[0]}: {'is not executable' if path.exists() else 'does not exist'}")
    return [os.path.abspath(found), *words[1:]]  # not resolved: a symbolic link may be its name


def _settings(options: argparse.Namespace) -> Settings:
    if options.rootless and os.geteuid() == 0:
        raise Unusable("--rootless is for a plain user: run this as one, without sudo")
    if not options.rootless and os.geteuid() != 0:
        raise Unusable("containers of root need root: run this as root, or give --rootless")
    if options.output and not options.output.absolute().parent.is_dir():
        raise Unusable(f"--output {options.output}: there is no such folder")
    if options.probe and not os.access(options.probe, os.R_OK | os.X_OK):
        raise Unusable(f"--probe {options.probe}: is no program that can be read and executed")
    return Settings(
        options.probe or probe.build(),
        read_adapter(options.adapter) if options.adapter else RUNC,
        options.jobs,
        options.timeout,
        options.rootless,
        options.keep,
        options.stop_at,
        tuple(_again(options)),
        options.rounds,
    )


def _again(options: argparse.Namespace) -> Iterator[str]:
    """The command by which this was called, with the options that matter for one case."""
    if Path(sys.argv[0]).name == "__main__.py":
        if "PYTHONPATH" in os.environ:
            places = os.environ["PYTHONPATH"].split(os.pathsep)
            yield from ("env", f"PYTHONPATH={os.pathsep.join(str(Path(place).absolute()) for place in places)}")
        yield from (sys.executable, "-m", __package__ or "")
    else:
        yield str(Path(sys.argv[0]).absolute())
    for name in ("adapter", "probe"):
        if path := getattr(options, name):
            yield from (f"--{name}", str(path.absolute()))
    if options.timeout != SECONDS:
        yield from ("--timeout", f"{options.timeout:g}")
    for name in ("rootless", "security"):
        if getattr(options, name):
            yield f"--{name}"


def _judge(runtimes: Sequence[Sequence[str]], cases: Sequence[Case], settings: Settings) -> list[Judgement]:
    judgements = []
    names = labels([shlex.join(words) for words in runtimes])
    with progress(len(cases) * len(runtimes)) as watcher:
        for name, words in zip(names, runtimes, strict=True):
            watcher.begin(name)
            kept = settings.keep / _folder(name) if settings.keep and len(runtimes) > 1 else settings.keep
            judgements.append(Judge(words, replace(settings, keep=kept), watcher.tell).run(cases))
    return judgements


def _folder(name: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "-" for char in name).strip(".-") or "runtime"


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM cleans up like SIGINT; a second signal does not break the cleaning."""

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listed(case: Case) -> str:
    return "\t".join([case.name, case.level, " ".join(case.requirements), case.title])


def _print(text: str, place: Path | None) -> None:
    """In UTF-8, whatever the locale says."""
    data = text.encode("utf-8", "backslashreplace")
    if place:
        place.write_bytes(data)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def entry() -> None:
    """The console script. A crash of the suite is never a pass, nor a verdict."""
    try:
        code = main()
    except BrokenPipeError:
        # what Python writes at its end must not fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = UNUSABLE
    except Exception:  # noqa: BLE001 - the traceback is all that can be said
        traceback.print_exc()
        code = UNUSABLE
    sys.exit(code)
