"""The strict JSON reader and writer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(_VALUES)
def test_what_is_written_is_read_back(value: object) -> None:
    assert jsontext.loads(jsontext.dumps(value)) == value
    assert jsontext.loads(jsontext.pretty(value)) == value
    assert jsontext.pretty(value) == json.dumps(value, indent=2, ensure_ascii=False)


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
        "import sys; before = set(sys.modules)\n"
        "from ocirun_spec import accept, jsontext, mount_options, names, rules, version\n"
        "jsontext.loads('{\"a\": [1, 1.5, true]}'); jsontext.pretty([1])\n"
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
    assert done.stdout.strip() == "['__future__', '_json']"
