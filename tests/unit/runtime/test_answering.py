"""Asking a process of its own."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from ocirun import answering

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE = bytes(1 << 20)
"""More than a pipe holds."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], str]:
    """The name of a module that answers so."""

    def named(answer: Callable[..., Any]) -> str:
        module = ModuleType("asked_here")
        module.answer = answer  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module.__name__

    return named


def test_question_and_answer_may_be_large(asked: Callable[[Callable[..., Any]], str]) -> None:
    assert answering.ask(asked(lambda *question: question), "é", LARGE, {"a": [1]}) == ("é", LARGE, {"a": [1]})


def test_a_process_that_dies_gives_no_answer(asked: Callable[[Callable[..., Any]], str]) -> None:
    assert answering.ask(asked(lambda _question: os._exit(0)), LARGE) is None


def test_a_module_that_is_not_there_gives_none_even_to_a_large_question() -> None:
    assert answering.ask("no_such_module", LARGE) is None


def test_nothing_is_left(asked: Callable[[Callable[..., Any]], str]) -> None:
    before = os.listdir("/proc/self/fd")
    answering.ask(asked(lambda: 1))
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
