"""linux.resources.hugepageLimits: the controller hugetlb.

Kernels since 5.7 count reservations too (``rsvd``): a program that asks for too much then hears of it from mmap(2) and
is not killed later. Where that file exists both get the limit, so that a page that was not reserved counts as well.
"""

from __future__ import annotations

from ocirun.linux.cgroup.limits import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Entries = list[dict[str, Any]]


def v1(entries: Entries) -> list[Setting]:
    """hugetlb.2MB.limit_in_bytes and hugetlb.2MB.rsvd.limit_in_bytes."""
    return _settings(entries, "limit_in_bytes")


def v2(entries: Entries) -> list[Setting]:
    """hugetlb.2MB.max and hugetlb.2MB.rsvd.max."""
    return _settings(entries, "max")


def _settings(entries: Entries, last: str) -> list[Setting]:
    settings = []
    for at, entry in enumerate(entries):
        size, limit, pointer = entry["pageSize"], entry["limit"], f"hugepageLimits/{at}/limit"
        settings.append(Setting("hugetlb", f"hugetlb.{size}.{last}", limit, pointer))
        settings.append(Setting("hugetlb", f"hugetlb.{size}.rsvd.{last}", limit, pointer, optional=True))
    return settings
