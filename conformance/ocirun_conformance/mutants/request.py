"""A call of the runtime, read from its words, which are runc's. Light: the wrapper loads this at every call."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OPERATIONS = ("create", "start", "state", "kill", "delete", "features")
VALUED = ("--root", "--log", "--log-format", "--bundle", "-b", "--pid-file", "--console-socket")


class Request:
    """One call. operation: "" for none that mutants know, "force" for the removal that must work even with mutants."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = list(argv)
        self.options: dict[str, str] = {}
        self.positional: list[str] = []
        words = iter(argv)
        for word in words:
            name, equals, value = word.partition("=")
            if name in VALUED:
                self.options[name] = value if equals else next(words, "")
            elif word.startswith("-") and word != "-":
                self.options[word] = ""
            else:
                self.positional.append(word)
        self.operation = self.positional.pop(0) if self.positional else ""
        if self.operation not in OPERATIONS:
            self.operation = ""
        if self.operation == "delete" and "--force" in self.options:
            self.operation = "force"

    @property
    def ident(self) -> str:
        """The container's id, "" when there is none: of `kill KILL` the one word is the signal."""
        if self.operation == "kill" and self.positional == ["KILL"]:
            return ""
        return self.positional[0] if self.positional else ""

    @property
    def root(self) -> str:
        """The folder of the runtime's state, "" when none is named."""
        return self.options.get("--root", "")

    @property
    def bundle(self) -> str:
        """The bundle's folder."""
        return self.options.get("--bundle") or self.options.get("-b") or "."

    def again(self, operation: str, *words: str) -> list[str]:
        """The words of another operation on the same container."""
        root = ["--root", self.root] if self.root else []
        return [*root, operation, *words, self.ident]
