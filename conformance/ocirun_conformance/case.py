"""A case: one judgement about a runtime, with the duties that it cites.

    @case("RT-002", "RT-003")
    def the_state_has_its_members(trial: Trial) -> None:
        \"\"\"`state` prints ociVersion and id\"\"\"

Its name is the module's and the function's, its title the docstring. It fails by `expect` and `expect_equal`, and says
that it cannot be run here by `NotRun` or by one of `needs`. Any other exception is the suite's own defect. The cases of
`attacks` cite the attacks that they try.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import attacks, cases, catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .catalogue import Level
    from .facility import Need
    from .trial import Trial

    Body = Callable[..., None]


class NotRun(Exception):
    """The case cannot be run here; the argument says why."""


class Fails(Exception):
    """The runtime does not keep the duty: what was expected, and what was seen."""

    def __init__(self, sentence: str, expected: object = None, seen: object = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.expected = expected
        self.seen = seen


def expect(holds: object, sentence: str, *, expected: object = None, seen: object = None) -> None:
    """Fail unless it holds. sentence: what is wrong, in words."""
    if not holds:
        raise Fails(sentence, expected, seen)


def expect_equal(seen: object, expected: object, what: str) -> None:
    """Fail unless both are equal. what: a noun, such as "the user id"."""
    if seen != expected:
        raise Fails(f"{what} is not as configured", expected, seen)


@dataclass(frozen=True)
class Case:
    """One judgement. alone: no other case may run at the same time, since it looks at or changes the whole host."""

    name: str
    title: str
    requirements: tuple[str, ...]
    needs: tuple[Need, ...]
    alone: bool
    body: Callable[[Trial], None]

    @property
    def level(self) -> Level:
        """The level of the duties that it cites, which is one and the same."""
        ident = self.requirements[0]
        return catalogue.known(security=ident in catalogue.attacks())[ident].level


_CASES: dict[str, dict[str, Case]] = {cases.__name__: {}, attacks.__name__: {}}


def _register(body: Body, suffix: str, idents: Iterable[str], needs: Iterable[Need], alone: bool, *args: Any) -> None:
    package, _, module = body.__module__.rpartition(".")
    name = f"{module}.{body.__name__}{suffix}"
    title = " ".join((body.__doc__ or "").format(*args).split())
    if name in _CASES[package]:
        raise ValueError(f"two cases have the name {name}")
    _CASES[package][name] = Case(name, title, tuple(idents), tuple(needs), alone, lambda trial: body(trial, *args))


def case(*idents: str, needs: Iterable[Need] = (), alone: bool = False) -> Callable[[Body], Body]:
    """Make a case of a function."""

    def decorate(body: Body) -> Body:
        _register(body, "", idents, needs, alone)
        return body

    return decorate


@dataclass(frozen=True)
class Row:
    """One of several cases of a function: its name in brackets, the duties, and the function's further arguments."""

    name: str
    requirements: tuple[str, ...]
    args: tuple[Any, ...]
    needs: tuple[Need, ...] = ()


def row(name: str, idents: str, *args: Any, needs: Iterable[Need] = ()) -> Row:
    """idents: separated by blanks."""
    return Row(name, tuple(idents.split()), args, tuple(needs))


def each(*rows: Row, needs: Iterable[Need] = (), alone: bool = False) -> Callable[[Body], Body]:
    """Make a case of a function for each row; its docstring may name the arguments as {0}, {1}, …"""

    def decorate(body: Body) -> Body:
        for found in rows:
            _register(body, f"[{found.name}]", found.requirements, (*needs, *found.needs), alone, *found.args)
        return body

    return decorate


def all_cases(*, security: bool = False) -> dict[str, Case]:
    """Every case by its name, or every attack, in the order of the modules and of their text."""
    package = attacks if security else cases
    for found in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{found.name}")
    return _CASES[package.__name__]
