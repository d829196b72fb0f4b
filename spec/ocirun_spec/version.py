"""The versions of the OCI runtime specification, and SemVer 2.0.0. Hot: imports nothing."""

from __future__ import annotations

# The versions of `ociVersion` that the features structure announces; `state` prints the newest.
OCI_VERSION_MIN = "1.0.0"
OCI_VERSION_MAX = "1.3.0"
_NEWEST = (1, 3)

_IDENTIFIER = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-"


def parse(text: str) -> tuple[int, int, int, str] | None:
    """Major, minor, patch and prerelease ("" if none) of a SemVer 2.0.0 version, or None if it is not one."""
    core, plus, build = text.partition("+")
    core, dash, prerelease = core.partition("-")
    numbers = core.split(".")
    if len(numbers) != 3 or not all(_is_number(number) for number in numbers):
        return None
    if plus and not all(_is_identifier(part) for part in build.split(".")):
        return None
    if dash and not all(_is_identifier(part) and _is_clean(part) for part in prerelease.split(".")):
        return None
    major, minor, patch = (int(number) for number in numbers)
    return major, minor, patch, prerelease


def is_newer(text: str) -> bool:
    """Whether a valid version is of a later minor release than the newest that is known (config.md, ociVersion)."""
    parsed = parse(text)
    return parsed is not None and parsed[:2] > _NEWEST


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and _is_clean(text)


def _is_clean(text: str) -> bool:
    """No leading zero, which SemVer forbids for whatever is all digits."""
    return not (len(text) > 1 and text[0] == "0" and text.isdigit())


def _is_identifier(text: str) -> bool:
    return bool(text) and not text.strip(_IDENTIFIER)
