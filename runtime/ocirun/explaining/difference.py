"""What two plans do differently: their effects compared, whatever the order in which nothing depends on it."""

from __future__ import annotations

from ocirun import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any, Final

    from ocirun.explaining.effects import Effect

ADDED: Final = "added"
REMOVED: Final = "removed"
CHANGED: Final = "changed"
MOVED: Final = "moved"
_SIGNS: Final = {ADDED: "+", REMOVED: "-", CHANGED: "~", MOVED: "~"}
_MOST: Final = 24


class Difference:
    """One: `old` is None for what was added, `new` for what was removed; lines of detail that only one of them has."""

    __slots__ = ("gained", "kind", "lost", "new", "old")

    def __init__(self, kind: str, old: Effect | None, new: Effect | None, lost: list[str], gained: list[str]) -> None:
        self.kind = kind
        self.old = old
        self.new = new
        self.lost = lost
        self.gained = gained

    @property
    def shown(self) -> Effect:
        """The newer one."""
        found = self.new or self.old
        assert found is not None
        return found


def compare(first: list[Effect], second: list[Effect]) -> list[Difference]:
    """All differences, by subsystem; empty when both have the same effect."""
    kept, removed, added = _matched(first, second)
    found = _moved(kept)
    for identity in (lambda each: (each.room, each.subject), _kind):
        found += _paired(removed, added, identity)
    found += [Difference(REMOVED, each, None, each.details, []) for each in removed]
    found += [Difference(ADDED, None, each, [], each.details) for each in added]
    return sorted(found, key=lambda each: each.shown.room)


def _kind(effect: Effect) -> Hashable:
    return effect.room, effect.subject.split(" ")[0]


def _matched(
    first: list[Effect], second: list[Effect]
) -> tuple[list[tuple[Effect, Effect]], list[Effect], list[Effect]]:
    """(those with equal keys, what is left of the first, what is left of the second)."""
    left = list(second)
    kept, removed = [], []
    for each in first:
        same = next((other for other in left if other.key == each.key), None)
        if same is None:
            removed.append(each)
        else:
            left.remove(same)
            kept.append((each, same))
    return kept, removed, left


def _moved(kept: list[tuple[Effect, Effect]]) -> list[Difference]:
    """What comes after other things than before, of those that both have."""
    names = {old.key: old.text for old, _new in kept}
    found = []
    for old, new in kept:
        before, after = (dict.fromkeys(key for key in each.before if key in names) for each in (old, new))
        if sorted(before) != sorted(after):
            lost = [f"after: {names[key]}" for key in before if key not in after]
            gained = [f"after: {names[key]}" for key in after if key not in before]
            found.append(Difference(MOVED, old, new, lost, gained))
    return found


def _paired(removed: list[Effect], added: list[Effect], identity: Callable[[Effect], Hashable]) -> list[Difference]:
    """Take out of both lists what is one thing with a change: the only one of its identity on each side."""
    found = []
    for old in list(removed):
        olds = [each for each in removed if identity(each) == identity(old)]
        news = [each for each in added if identity(each) == identity(old)]
        if len(olds) == len(news) == 1:
            removed.remove(old)
            added.remove(news[0])
            lost = [line for line in old.details if line not in news[0].details]
            gained = [line for line in news[0].details if line not in old.details]
            found.append(Difference(CHANGED, old, news[0], lost or _more(old, gained), gained or _more(news[0], lost)))
    return found


def _more(effect: Effect, other: list[str]) -> list[str]:
    """The key, where no detail differs."""
    return [] if other else [effect.key]


def render(found: list[Difference]) -> str:
    """As text: a paragraph for each subsystem, with at most `_MOST` lines of detail for one difference."""
    blocks: dict[str, list[str]] = {}
    for each in found:
        lines = blocks.setdefault(each.shown.room, [each.shown.room])
        pointers = list(dict.fromkeys(effect.pointer for effect in (each.old, each.new) if effect and effect.pointer))
        text = f"{each.shown.text} ({each.kind})" if each.kind == MOVED else each.shown.text
        lines.append(f"  {_SIGNS[each.kind]} {text:<62} {' -> '.join(pointers)}".rstrip())
        details = [f"      - {line}" for line in each.lost] + [f"      + {line}" for line in each.gained]
        lines += details[:_MOST]
        if len(details) > _MOST:
            lines.append(f"      and {len(details) - _MOST} more")
    return "\n".join("".join(f"{log.printable(line)}\n" for line in lines) for lines in blocks.values())


def document(found: list[Difference]) -> dict[str, Any]:
    """As JSON."""
    return {
        "same": not found,
        "differences": [
            {
                "subsystem": each.shown.room,
                "change": each.kind,
                "text": each.shown.text,
                "pointers": [each.old.pointer if each.old else None, each.new.pointer if each.new else None],
                "removed": each.lost,
                "added": each.gained,
            }
            for each in found
        ],
    }
