"""The HTML page as its readers have it: in a browser, wide, on a phone, printed, and without scripts."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from support.browser import Browser, chromium
from support.facility import need

from ocirun_conformance import catalogue
from ocirun_conformance.case import Case
from ocirun_conformance.reports import FORMATS
from ocirun_conformance.runtime import Call
from ocirun_conformance.verdict import Judgement, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.process]

HOSTILE = "<img src='http://192.0.2.1/x' onerror=alert(1)></pre></details><script>alert(2)</script>"
LONG = "unbroken" * 40
FOLDER = "/tmp/ocirun-conformance-abc/made-one"
SHOWN = (
    "[...document.querySelectorAll('tbody[data-level]')].filter(each => each.checkVisibility()).map(each => each.id)"
)
FITS = "document.documentElement.scrollWidth <= innerWidth"
PHONE = (360, 740)

_PASS, _FAIL, _ERROR, _NOT_RUN = Outcome.PASS, Outcome.FAIL, Outcome.ERROR, Outcome.NOT_RUN


def _verdict(name: str, outcome: Outcome, *idents: str) -> Verdict:
    calls = (
        Call((f"/usr/bin/{LONG}", "--root", f"{FOLDER}/state", "create"), 0, "", "", 0.1),
        Call(("/usr/bin/made", "--root", f"{FOLDER}/state", "start"), 1, "", f"stderr of {name} {HOSTILE} {LONG}", 0.1),
    )
    case = Case(name, f"title of {name} {HOSTILE}", idents, (), False, lambda _trial: None)
    sentence = "" if outcome is _PASS else f"sentence of {name} {HOSTILE}"
    return Verdict(case, outcome, sentence, "expected", [LONG], {"hostname": f"config of {name} {HOSTILE}"}, calls)


def judgements() -> list[Judgement]:
    """Two runtimes; levels: all must but CFG-106, which is a should."""
    one = [
        _verdict("made.one", _FAIL, "RT-002", "RT-003"),
        _verdict("made.two", _PASS, "RT-004"),
        _verdict("made.three", _PASS, "CFG-106"),
        _verdict("made.four", _NOT_RUN, "CFG-007"),
    ]
    two = [
        _verdict("made.one", _PASS, "RT-002", "RT-003"),
        _verdict("made.two", _ERROR, "RT-004"),
        _verdict("made.three", _FAIL, "CFG-106"),
        _verdict("made.four", _PASS, "CFG-007"),
    ]
    return [Judgement(f"/usr/bin/{name}", HOSTILE, found, 1.0) for name, found in (("one", one), ("two", two))]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need(chromium)
    with Browser() as found:
        yield found


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Path]:
    """The page of `judgements`; the browser is as it was in the end."""
    path = tmp_path / "page.html"
    path.write_text(FORMATS["html"](judgements()), "utf-8")
    browser.resize(1280, 900)
    yield path
    browser.send("Emulation.setScriptExecutionDisabled", value=False)
    browser.send("Emulation.setEmulatedMedia", media="", features=[])


def choose(browser: Browser, **values: str) -> list[str]:
    """Set these filters as a user does; the duties that are shown then."""
    for name, value in values.items():
        control = f"document.querySelector('form').elements.{name}"
        event = "new Event('input', {bubbles: true})"
        browser.ask(f"({control}.value = {json.dumps(value)}, {control}.dispatchEvent({event}))")
    shown: list[str] = browser.ask(SHOWN)
    whole = len(JUDGED) + len(catalogue.unjudged().keys() & catalogue.requirements().keys())
    assert browser.ask("document.querySelector('output').value") == f"{len(shown)} of {whole} duties"
    return judged(shown)


def judged(idents: list[str]) -> list[str]:
    """Without those that no case can judge, which are in every page."""
    return [each for each in idents if each not in catalogue.unjudged()]


JUDGED = ["RT-002", "RT-003", "RT-004", "CFG-007", "CFG-106"]


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({}, JUDGED),
        ({"level": "should"}, ["CFG-106"]),
        ({"level": "must"}, ["RT-002", "RT-003", "RT-004", "CFG-007"]),
        ({"outcome": "fail"}, ["RT-002", "RT-003", "CFG-106"]),
        ({"outcome": "fail", "runtime": "1"}, ["CFG-106"]),
        ({"outcome": "fail", "level": "must"}, ["RT-002", "RT-003"]),
        ({"outcome": "error"}, ["RT-004"]),
        ({"outcome": "not run"}, ["CFG-007"]),
        ({"subject": "config"}, ["CFG-007", "CFG-106"]),
        ({"subject": "config", "level": "must"}, ["CFG-007"]),
        ({"text": " CONFIG OF MADE.THREE"}, ["CFG-106"]),
        ({"text": "cfg-007"}, ["CFG-007"]),
        ({"text": "no such text"}, []),
    ],
)
def test_filters_show_what_they_say(browser: Browser, page: Path, filters: dict[str, str], shown: list[str]) -> None:
    browser.open(page)
    assert choose(browser, **filters) == shown
    browser.ask("document.querySelector('button[type=reset]').click()")
    browser.ask("new Promise(done => setTimeout(done))")
    assert choose(browser) == JUDGED


def test_nothing_is_loaded_and_no_text_becomes_markup(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.ask("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.requests == [page.as_uri()]
    # what the policy forbids, and what a script throws, would be among these
    told = [said for name, said in browser.events if name in ("Log.entryAdded", "Runtime.exceptionThrown")]
    assert told == []
    assert browser.ask("[document.images.length, document.scripts.length, document.styleSheets.length]") == [0, 1, 1]
    assert browser.ask("[...document.links].filter(each => !/^(file|https):/.test(each.href)).length") == 0


def test_a_failure_has_all_that_is_needed_to_act(browser: Browser, page: Path) -> None:
    browser.open(page)
    text = browser.ask("document.querySelector('#RT-002 details.failure').textContent")
    for part in ("title", "sentence", "stderr"):
        assert f"{part} of made.one {HOSTILE}" in text
    assert json.dumps(f"config of made.one {HOSTILE}") in text
    assert f"CASE={FOLDER}" in text
    assert "[1] /usr/bin/made --root $CASE/state start" in text
    # the other duty that this case cites names the first
    assert browser.ask("document.querySelectorAll('#RT-003 details').length") == 0
    assert browser.ask("document.querySelector('#RT-003 p a').hash") == "#RT-002-0-0"


def test_the_top_leads_to_each_broken_duty(browser: Browser, page: Path) -> None:
    browser.open(page)
    said = browser.ask("[...document.querySelectorAll('.broken')].map(each => each.textContent.trim())")
    assert said == [
        "one breaks, MUST: RT-002 RT-003",
        "two breaks, SHOULD: CFG-106",
        "two met an error of the suite: RT-004",
    ]
    choose(browser, level="must")
    click = "document.querySelector('.broken a[href=\"#CFG-106\"]').click()"
    browser.ask(f"new Promise(done => {{ addEventListener('hashchange', () => done(), {{once: true}}); {click}; }})")
    assert choose(browser) == JUDGED
    assert browser.ask("document.querySelector('#CFG-106 details').open")


@pytest.mark.parametrize(("ident", "opened"), [("CFG-106", 1), ("RT-004-1-0", 1), ("CFG-007", 0), ("nothing", 0)])
def test_the_address_of_a_duty_shows_it(browser: Browser, page: Path, ident: str, opened: int) -> None:
    browser.resize(1280, 100)
    browser.open(page, f"#{ident}")
    assert browser.ask("document.querySelectorAll('details[open]').length") == opened
    if ident != "nothing":
        box = browser.ask(f"(({{top}}) => [top >= 0, top < innerHeight])({_box(ident)})")
        assert box == [True, True]


def _box(ident: str) -> str:
    return f"document.getElementById('{ident}').getBoundingClientRect()"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_scrolling_sideways(browser: Browser, page: Path, scheme: str) -> None:
    browser.resize(*PHONE)
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(page)
    assert browser.ask(FITS)
    browser.ask("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.ask(FITS)
    outside = "[...document.body.querySelectorAll('*')].filter(each => each.getBoundingClientRect().right > innerWidth)"
    assert browser.ask(f"{outside}.map(each => each.outerHTML.slice(0, 200))") == []
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 20, 20)" if scheme == "dark" else "rgba(0, 0, 0, 0)"
    )


@pytest.mark.parametrize("without", [False, True])
def test_without_scripts_and_on_paper_all_is_there(browser: Browser, page: Path, without: bool) -> None:
    browser.send("Emulation.setScriptExecutionDisabled", value=without)
    browser.open(page)
    assert judged(browser.ask(SHOWN)) == JUDGED
    assert browser.ask("document.querySelector('form').checkVisibility()") is not without
    browser.send("Emulation.setEmulatedMedia", media="print")
    assert not browser.ask("document.querySelector('form').checkVisibility()")
    visible = "{contentVisibilityAuto: true, visibilityProperty: true}"
    seen: list[Any] = browser.ask(
        f"[...document.querySelectorAll('.failure pre')].filter(each => each.checkVisibility({visible}))"
        ".map(each => each.textContent)"
    )
    assert [text for text in seen if "stderr of made.three" in text]
    assert [text for text in seen if "config of" in text] == []
    paper = browser.send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"]
    assert base64.b64decode(paper).startswith(b"%PDF-")


def test_a_hopeless_runtime_makes_no_huge_page(browser: Browser, tmp_path: Path) -> None:
    from ocirun_conformance import case as cases

    config = {"text": "x" * 3000}
    call = Call(("/usr/bin/made",), 1, "", "y" * 100_000, 0.1)
    verdicts = [Verdict(each, _FAIL, "fails", 1, 2, config, (call,)) for each in cases.all_cases().values()]
    path = tmp_path / "page.html"
    path.write_text(FORMATS["html"]([Judgement("/usr/bin/made", "", verdicts, 1.0)]), "utf-8")
    assert path.stat().st_size < 8 << 20
    browser.open(path)
    assert browser.ask("document.querySelectorAll('details.failure').length") == len(verdicts)
