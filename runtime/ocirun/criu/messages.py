"""The messages of CRIU's RPC: protocol buffers of its images/rpc.proto, as far as they are needed.

A message is a dict from the field's number to its value: int and bool are varints, str and bytes have a length, a dict
is a message, a list repeats the field. What is read back keeps every field as a list, a message in it as bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

    Message = dict[int, Any]

DUMP: Final = 1
RESTORE: Final = 2
PRE_DUMP: Final = 4
NOTIFY: Final = 6
"""Types of requests and answers (enum criu_req_type)."""

CGROUP_MODES: Final = {"ignore": 0, "soft": 3, "full": 4, "strict": 5}
"""enum criu_cg_mode."""

_OPTIONS: Final = {
    "images_dir_fd": 1, "pid": 2, "leave_running": 3, "ext_unix_sk": 4, "tcp_established": 5, "evasive_devices": 6,
    "shell_job": 7, "file_locks": 8, "log_level": 9, "log_file": 10, "ps": 11, "notify_scripts": 12, "root": 13,
    "parent_img": 14, "track_mem": 15, "auto_dedup": 16, "work_dir_fd": 17, "ext_mnt": 23, "manage_cgroups": 24,
    "cg_root": 25, "rst_sibling": 26, "inherit_fd": 27, "manage_cgroups_mode": 34, "external": 37, "empty_ns": 38,
    "join_ns": 39, "freeze_cgroup": 44, "lazy_pages": 48, "status_fd": 49, "orphan_pts_master": 50, "lsm_profile": 53,
    "lsm_mount_context": 63,
}  # fmt: skip
"""Numbers of the fields of message criu_opts."""

_VARINT: Final = 0
_BYTES: Final = 2
_FIXED: Final = {1: 8, 5: 4}
_U64: Final = (1 << 64) - 1


class Malformed(Exception):
    """Bytes that are no message."""


class Answer:
    """A criu_resp. `script` and `pid` are those of a notification; a finished restore has `pid` too."""

    __slots__ = ("errno", "message", "pid", "script", "success", "type")

    def __init__(self, data: bytes) -> None:
        fields = decode(data)
        notify = decode(_last(fields, 5, b""))
        restored = decode(_last(fields, 4, b""))
        self.type = _last(fields, 1, 0)
        self.success = bool(_last(fields, 2, 0))
        self.script = _last(notify, 1, b"").decode("utf-8", "replace")
        self.pid: int = _last(notify, 2, 0) or _last(restored, 1, 0)
        self.errno: int = _last(fields, 7, 0)
        self.message: str = _last(fields, 9, b"").decode("utf-8", "replace").strip()


def request(kind: int, options: dict[str, Any]) -> bytes:
    """A criu_req with criu_opts; options by their names in rpc.proto, those that are None are left out."""
    opts = {_OPTIONS[name]: value for name, value in options.items() if value is not None}
    return encode({1: kind, 2: opts})


def notified(success: bool) -> bytes:
    """The answer to a notification."""
    return encode({1: NOTIFY, 3: success})


def pair(key: object, value: object) -> Message:
    """ext_mount_map, inherit_fd, join_namespace, cgroup_root and criu_page_server_info begin with two such fields."""
    return {number: each for number, each in ((1, key), (2, value)) if each is not None}


def encode(message: Message) -> bytes:
    """The bytes of a message."""
    parts = []
    for number, value in sorted(message.items()):
        parts += [_field(number, each) for each in (value if isinstance(value, list) else [value])]
    return b"".join(parts)


def _field(number: int, value: Any) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value & _U64)
    if isinstance(value, dict):
        value = encode(value)
    elif isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + bytes(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: bytes) -> dict[int, list[Any]]:
    """Every field of a message with its values in order: int, or bytes. `Malformed` for what is none."""
    fields: dict[int, list[Any]] = {}
    source = iter(data)
    try:
        for first in source:
            key = _read_varint(source, first)
            kind = key & 7
            if kind == _VARINT:
                value: object = _read_varint(source, next(source))
            elif kind == _BYTES:
                value = _take(source, _read_varint(source, next(source)))
            else:
                value = _take(source, _FIXED[kind])
            fields.setdefault(key >> 3, []).append(value)
    except (StopIteration, KeyError):
        raise Malformed from None
    return fields


def _take(source: Iterator[int], count: int) -> bytes:
    # the range first: at its end the other must not have given a byte more
    taken = bytes(byte for _, byte in zip(range(count), source, strict=False))
    if len(taken) != count:
        raise Malformed
    return taken


def _read_varint(source: Iterator[int], byte: int) -> int:
    value, shift = byte & 0x7F, 7
    while byte & 0x80:
        byte = next(source)
        value |= (byte & 0x7F) << shift
        shift += 7
    return value


def _last(fields: dict[int, list[Any]], number: int, default: Any) -> Any:
    return fields.get(number, [default])[-1]
