"""The strict JSON reader and writer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reader import READERS, assert_same_verdict

from ocirun_spec import jsontext

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8")), inner)
    ),
)

_PIECES = st.sampled_from([
    *'{}[]:,"\\ \n\t\0+-.eEu019x', '"a"', '{"a":', "null", "true", "false", "NaN", "Infinity", "-Infinity",
    "1.5", "1e999", "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809",
    "\\u0000", "\\u00e9", "\\ud83d", "\\uDE00", "\\n", "\\q", "é", "\udc80", "\U0001f600",
])  # fmt: skip
_WHOLE = st.sampled_from([
    '{"a": [1, -2.5e3, "x\\u00e9\\ud83d\\ude00y"], "b": {"a": null, "c": {"b": [true, {}]}}, "é": "\\\\u0000"}',
    '[[], {"a": 0, "b": -0.0, "a\\n": [18446744073709551615, -9223372036854775808]}, "\U0001f600\\"", false]\n',
])  # fmt: skip
_CUTS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 4), st.just("") | _PIECES), max_size=3)


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`jsontext` with the launcher's scanner, and with the one that is there without a launcher."""
    monkeypatch.setattr(jsontext, "read_json", READERS[request.param]())


@given(_VALUES)
def test_what_is_written_is_read_back(value: object) -> None:
    assert jsontext.loads(jsontext.dumps(value)) == value
    assert jsontext.loads(jsontext.pretty(value)) == value
    assert jsontext.pretty(value) == json.dumps(value, indent=2, ensure_ascii=False)


@given(st.lists(_PIECES, max_size=12).map("".join))
@settings(max_examples=500, deadline=None)
def test_both_scanners_agree_on_any_text(text: str) -> None:
    assert_same_verdict(text)


@given(_WHOLE, _CUTS)
@settings(max_examples=300, deadline=None)
def test_both_scanners_agree_on_damaged_texts(text: str, cuts: list[tuple[int, int, str]]) -> None:
    for place, size, piece in cuts:
        text = text[:place] + piece + text[place + size :]
    assert_same_verdict(text)


def test_equal_keys_are_one_object() -> None:
    read = READERS["launcher"]()('[{"a key": 1}, {"a key": 2}]', jsontext.JSONError)
    assert len({id(key) for each in read for key in each}) == 1


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "the text is empty"),
        (" \n ", 2, 2, "the text is empty"),
        ('{"a": 1, "a": 2}', 1, 10, 'the key "a" appears twice in one object'),
        ('[{"a": 1},\n {"b": {"a": 1,\n  "a": 2}}]', 3, 3, 'the key "a" appears twice in one object'),
        ('{"a": NaN}', 1, 7, "NaN is not JSON"),
        ("[-Infinity]", 1, 2, "-Infinity is not JSON"),
        ('{"a": 1}\n}', 2, 1, "text after the end of the JSON value"),
        ("[18446744073709551616]", 1, 2, "the number does not fit in 64 bits"),
        ("[1, -9223372036854775809]", 1, 5, "the number does not fit in 64 bits"),
        ("[" + "1" * 10_000 + "]", 1, 2, "the number does not fit in 64 bits"),
        ("[1e999]", 1, 2, "the number is too large"),
        ("[1e999x]", 1, 2, "the number is too large"),
        ('{"a": 1,\n "a": {"a": 1, "a": 2}}', 2, 16, 'the key "a" appears twice in one object'),
        ('["\\ud83d\\ude00",\n "\\\\u0000", "\\ud83d"]', 2, 14, "a string holds half of a surrogate pair"),
        ('["\\u0000"]', 1, 3, "a string holds a NUL character"),
        ('{"\\u0000": 1}', 1, 3, "a string holds a NUL character"),
        ('["\\uD800"]', 1, 3, "a string holds half of a surrogate pair"),
        ('["\\udc00x"]', 1, 3, "a string holds half of a surrogate pair"),
        ("[" * 200_000, 1, 1, "nested too deeply"),
        ("[1, 2", 1, 6, "expecting ',' delimiter"),
        ("[1,\n2,,]", 2, 3, "a value was expected here"),
        ('["a\tb"]', 1, 4, "invalid control character"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_refused_is_placed(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(jsontext.JSONError) as caught:
        jsontext.loads(text)
    assert (caught.value.line, caught.value.column, caught.value.message) == (line, column, message)


@pytest.mark.usefixtures("reader")
def test_pairs_of_surrogates_and_64_bit_ends_are_accepted() -> None:
    assert jsontext.loads('"\\ud83d\\ude00"') == "\U0001f600"
    assert jsontext.loads("[18446744073709551615, -9223372036854775808]") == [(1 << 64) - 1, -(1 << 63)]


def test_the_excerpt_points_at_the_place() -> None:
    with pytest.raises(jsontext.JSONError) as caught:
        jsontext.loads('{\n  "a": 1,\n  "b" 2\n}')
    assert caught.value.excerpt() == '  "b" 2\n      ^'
    long = '["' + "x" * 500 + '", nope]'
    with pytest.raises(jsontext.JSONError) as caught:
        jsontext.loads(long)
    window, caret = caught.value.excerpt().split("\n")
    assert len(window) <= 76
    assert window[caret.index("^") :].startswith("nope")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"\xff\xfe{\0}\0", "UTF-16"),
        (b'{"a": "\xe9"}', "byte 7 (0xe9) is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "is not UTF-8"),
    ],
)
def test_other_encodings_are_named(data: bytes, words: str) -> None:
    with pytest.raises(jsontext.JSONError, match=r".") as caught:
        jsontext.decode(data)
    assert words in str(caught.value)
    assert jsontext.decode("{}é".encode()) == "{}é"


def test_hot_modules_import_nothing_of_the_library() -> None:
    script = (
        "import sys; sys.modules['_ocirun'] = type('launcher', (), {'read_json': print}); before = set(sys.modules)\n"
        "from ocirun_spec import accept, jsontext, mount_options, names, rules, version\n"
        "jsontext.pretty([1])\n"
        "print(sorted(m for m in set(sys.modules) - before if not m.startswith('ocirun_spec')))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "['__future__']"
