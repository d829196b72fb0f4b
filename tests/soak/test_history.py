"""The judge of histories can say no."""

from __future__ import annotations

import pytest
from soak.history import Answer, wrong

pytestmark = [pytest.mark.meta]


def in_turn(*words: str) -> list[Answer]:
    """Commands one after the other: ``create``, ``!start`` for one that failed, ``state=running``."""
    found = []
    for at, word in enumerate(words):
        command, _, said = word.lstrip("!").partition("=")
        found.append(Answer(command, at, at + 0.5, not word.startswith("!"), said))
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("create", "state=created", "start", "state=running", "exec", "kill", "state=stopped", "!kill", "delete"),
        ("!state", "!start", "!delete", "force", "create", "!create", "delete", "create"),
        ("create", "start", "!delete", "kill", "!delete", "delete", "!state"),
        ("create", "kill", "state=stopped", "!start", "delete"),
    ],
)
def test_a_life(words: tuple[str, ...]) -> None:
    assert not wrong(in_turn(*words))


@pytest.mark.parametrize(
    "words",
    [
        ("start",),
        ("create", "create"),
        ("create", "state=running"),
        ("create", "start", "start"),
        ("create", "start", "delete"),
        ("create", "!start"),
        ("create", "start", "!exec"),
        ("create", "delete", "state=stopped"),
        ("create", "start", "kill", "state=stopped", "state=running"),
        ("!force",),
    ],
)
def test_what_cannot_be(words: tuple[str, ...]) -> None:
    assert wrong(in_turn(*words))


def test_two_at_once() -> None:
    one, other = Answer("create", 0, 3, succeeded=True), Answer("create", 1, 2, succeeded=False)
    assert not wrong([one, other])
    assert wrong([one, Answer("create", 4, 5, succeeded=True)])
    assert wrong([Answer("create", 0, 3, succeeded=True), Answer("create", 1, 2, succeeded=True)])
    assert not wrong(
        [one, Answer("state", 1, 2, succeeded=False), Answer("state", 1, 2, succeeded=True, said="created")]
    )


def test_force_has_two_moments() -> None:
    """Others may see a container that is ended and not removed yet, but not one that comes back."""
    life = [*in_turn("create", "start"), Answer("force", 5, 9, succeeded=True)]
    dead = Answer("exec", 6, 7, succeeded=False)
    assert not wrong([*life, dead, Answer("delete", 7.5, 8, succeeded=True)])
    assert wrong([*life, Answer("exec", 4, 4.5, succeeded=False)])
    assert wrong([*life, Answer("delete", 4, 4.5, succeeded=True)])
    assert wrong([*life, dead, Answer("state", 10, 11, succeeded=True, said="running")])
