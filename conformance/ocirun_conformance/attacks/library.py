"""Libraries and tables of the image, which nobody with the host's rights may load."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from ocirun_conformance.case import NotRun, case, expect_equal
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from pathlib import Path

    from ocirun_conformance.trial import Trial

_IN_OPEN = 0x20
_NAMES = ("libc.so.6", "libnss_files.so.2", "libnss_compat.so.2", "libgcc_s.so.1", "libdl.so.2", "libpthread.so.0")
_FOLDERS = ("lib", "lib64", "usr/lib", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
BAIT = (
    *(f"{folder}/{name}" for folder in _FOLDERS for name in _NAMES),
    *(f"usr/lib/python3{version}/{name}" for version in ("", ".11", ".12", ".13")
      for name in ("encodings/__init__.py", "encodings/idna.py", "codecs.py", "linecache.py", "traceback.py")),
    "etc/ld.so.cache", "etc/ld.so.preload", "etc/nsswitch.conf", "usr/lib/locale/locale-archive",
    "usr/lib/x86_64-linux-gnu/gconv/gconv-modules", "usr/share/locale/locale.alias",
)  # fmt: skip


class Opened:
    """Which of some files are opened from now on, by whomever and in whatever namespace (inotify(7))."""

    def __init__(self, trial: Trial, paths: list[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise NotRun(f"needs inotify(7): {os.strerror(ctypes.get_errno())}")
        trial.defer(lambda: os.close(self._fd))
        self._paths = {libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_OPEN): path for path in paths}

    def __call__(self) -> list[str]:
        """Their paths."""
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return []
        found = set()
        while data:
            found.add(str(self._paths[int.from_bytes(data[:4], "little")]))
            data = data[16 + int.from_bytes(data[12:16], "little") :]
        return sorted(found)


@case("CVE-2019-14271")
def baits_of_the_image(trial: Trial) -> None:
    """the image has libraries, modules and tables of its own, and neither create, start nor exec opens one"""
    bundle = trial.bundle(trial.config(["wait"]))
    paths = [bundle.rootfs / name for name in BAIT]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of the image")
    opened = Opened(trial, paths)
    made = trial.started(bundle)
    ok(made.execute("/probe", "report", options=["--user", "0:0" if trial.rootless else "1:1"]), "exec")
    made.execute("/no-such-program")
    made.kill()
    made.wait()
    made.force()
    expect_equal(opened(), [], "what was opened of the image")
