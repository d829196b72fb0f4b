"""The launcher's reader of JSON in this process: the same file, compiled as a library of this interpreter."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocirun_spec import fallback, jsontext
from support.bundle import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[str, Callable[[str, int, str], Exception]], Any]


@functools.cache
def of_the_launcher() -> Reader:
    """`read_json` of json.c."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "reader.so"
        source = REPOSITORY / "runtime" / "launcher" / "json.c"
        include = f"-I{sysconfig.get_path('include')}"
        subprocess.run(["gcc", "-std=gnu11", "-O1", "-shared", "-fPIC", include, source, "-o", library], check=True)
        function = ctypes.PyDLL(str(library)).read_json
    function.argtypes = [ctypes.py_object, ctypes.py_object]
    function.restype = ctypes.py_object
    return function


READERS: dict[str, Callable[[], Reader]] = {"launcher": of_the_launcher, "fallback": lambda: fallback.read_json}


def assert_same_verdict(text: str) -> None:
    """The limit of recursion, which depends on the calls before it, is the one thing that may differ."""
    ours, theirs = (verdict(name, text) for name in READERS)
    assert ours == theirs or "nested too deeply" in (ours[0], theirs[0])


def verdict(name: str, text: str) -> tuple[Any, ...]:
    """What a reader makes of a text: the value as Python writes it, or a message and an offset."""
    try:
        return (repr(READERS[name]()(text, jsontext.JSONError)),)
    except jsontext.JSONError as problem:
        return problem.message, problem.offset, problem.text
