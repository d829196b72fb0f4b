"""Compiled seccomp programs, one file each, in a folder that belongs to the caller alone.

An entry is named by its key: a BLAKE2b digest of everything that decides what the compiler makes. Its content is

    magic (8 bytes) | key (32) | digest of the program (32) | program (the rest)

so that a truncated, damaged, renamed or foreign file is not taken for a program: the profile is compiled again and
the entry replaced. Entries are written beside their place and renamed. At most `LIMIT` are kept; storing one more
removes the oldest.

SECURITY: whoever can write an entry decides what containers may do. A folder or a file that belongs to someone else
or that others can write to is not used, and neither is opened through a symbolic link.
"""

from __future__ import annotations

import os
import stat
import sys
from _blake2 import blake2b
from marshal import dumps

from ocirun import VERSION, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

LIMIT: Final = 64
"""How many entries stay."""
_MAGIC: Final = b"ocirunS1"
_DIGEST: Final = 32
_HEADER: Final = len(_MAGIC) + 2 * _DIGEST
_LARGEST: Final = _HEADER + 4096 * 8
"""BPF_MAXINSNS instructions (linux/bpf_common.h); what is longer loses its end and is not believed."""
_LIBRARY: Final = "libseccomp.so.2"


def key(profile: dict[str, Any]) -> bytes:
    """What an entry is found by (32 bytes): profile, ocirun's version, libseccomp's file, kernel release, machine."""
    host = os.uname()
    parts = (profile, VERSION, library_identity(library_folders()), host.release, host.machine)
    # Version 0 has values only; later ones say which objects are the same.
    return blake2b(dumps(parts, 0), digest_size=_DIGEST).digest()


def library_folders() -> tuple[str, ...]:
    """Where the dynamic loader commonly finds libraries, this machine's multiarch folder first (ld.so(8))."""
    triplet = getattr(sys.implementation, "_multiarch", "")
    return ("/usr/local/lib", f"/usr/lib/{triplet}", f"/lib/{triplet}", "/usr/lib64", "/lib64", "/usr/lib", "/lib")


def library_identity(folders: tuple[str, ...]) -> str:
    """Size and modification time (ns) of the first libseccomp.so.2, links followed; empty when there is none."""
    for folder in folders:
        try:
            found = os.stat(f"{folder}/{_LIBRARY}")
        except OSError:
            continue
        return f"{found.st_size}:{found.st_mtime_ns}"
    return ""


def take(cache_dir: str, digest: bytes) -> bytes | None:
    """The program stored under the key `digest`; None when there is none that can be trusted."""
    try:
        folder = _open(cache_dir, os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    except OSError as problem:
        log.warning(f"the seccomp cache {cache_dir} is not used: {problem.strerror}")
        return None
    try:
        return _content(_read(folder, digest.hex()), digest)
    except OSError:
        return None
    finally:
        os.close(folder)


def keep(cache_dir: str, digest: bytes, program: bytes) -> None:
    """Store `program` under the key `digest` and remove what is too much; raises OSError where that cannot be done."""
    os.makedirs(cache_dir, 0o700, exist_ok=True)
    folder = _open(cache_dir, os.O_DIRECTORY)
    try:
        _write(folder, digest.hex(), _MAGIC + digest + _checksum(program) + program)
        _evict(folder, digest.hex())
    finally:
        os.close(folder)


def _checksum(program: bytes) -> bytes:
    return blake2b(program, digest_size=_DIGEST).digest()


def _open(path: str, flags: int, folder: int | None = None) -> int:
    """Open for reading what the caller alone can have written; PermissionError otherwise."""
    fd = os.open(path, flags | os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    found = os.fstat(fd)
    if found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return fd
    os.close(fd)
    raise PermissionError(1, "it belongs to someone else or others can write to it")


def _read(folder: int, name: str) -> bytes:
    fd = _open(name, 0, folder)
    try:
        return os.read(fd, _LARGEST)
    finally:
        os.close(fd)


def _content(entry: bytes, digest: bytes) -> bytes | None:
    """The program in an entry, or None when it is not whole, not ours or not for this key."""
    program = entry[_HEADER:]
    return program if entry[:_HEADER] == _MAGIC + digest + _checksum(program) else None


def _write(folder: int, name: str, entry: bytes) -> None:
    """Under another name first: a reader sees a whole entry or none."""
    beside = f".{name}.{os.urandom(8).hex()}"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        while entry:
            entry = entry[os.write(fd, entry) :]
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(beside, dir_fd=folder)
        raise
    finally:
        os.close(fd)


def _evict(folder: int, newest: str) -> None:
    """Remove the oldest entries, leftovers of interrupted writers among them, until `LIMIT` stay."""
    ages: list[tuple[int, str]] = []
    for name in os.listdir(folder):
        try:
            ages.append((os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime_ns, name))
        except FileNotFoundError:
            continue
    ages.sort()
    for _, name in ages[: max(0, len(ages) - LIMIT)]:
        if name != newest:
            try:
                os.unlink(name, dir_fd=folder)
            except OSError:
                continue
