"""The project's own files, as syntax trees. Nothing is imported to look at it."""

from __future__ import annotations

import ast
import functools
import subprocess
from typing import TYPE_CHECKING

from support.bundle import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOTS = {"ocirun": REPOSITORY / "runtime" / "ocirun", "ocirun_spec": REPOSITORY / "spec" / "ocirun_spec"}
FOLDERS = ("spec", "runtime", "conformance", "bench", "demo", "docsite", "tests")


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The tree of one file."""
    return ast.parse(path.read_text(), filename=str(path))


def python_files(*folders: str) -> list[Path]:
    """Every Python file of these top folders that git tracks or would track."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders]
    done = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    names = [name for name in done.stdout.split("\0") if name.endswith(".py")]
    return sorted(path for path in map(REPOSITORY.joinpath, names) if path.is_file())


def tracked_files() -> list[Path]:
    """Every file that git tracks."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [path for name in done.stdout.split("\0") if name and (path := REPOSITORY / name).is_file()]


@functools.cache
def modules() -> dict[str, Path]:
    """Files of both packages by the name that they are imported by."""
    found = {}
    for package, root in ROOTS.items():
        for path in root.rglob("*.py"):
            parts = [package, *path.relative_to(root).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(module: str, lazily: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements of a module that run: at its import, or with `lazily` in a call of its functions."""
    yield from _imports(parsed(modules()[module]).body, lazily)


def _imports(body: list[ast.stmt], lazily: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from _imports(node.orelse, lazily)
        elif lazily or not isinstance(node, ast.FunctionDef):
            for part in ("body", "orelse", "finalbody"):
                yield from _imports(getattr(node, part, []), lazily)
            for handler in getattr(node, "handlers", []):
                yield from _imports(handler.body, lazily)


def imported(module: str, lazily: bool = True) -> set[str]:
    """The modules that `module` imports, as absolute names; a name of a package counts when it is a module."""
    found = set()
    package = module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in statements(module, lazily):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            continue
        base = node.module or ""
        if node.level:
            parts = package.split(".")
            base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
        submodules = {f"{base}.{alias.name}" for alias in node.names} & set(modules())
        names_only = [alias for alias in node.names if f"{base}.{alias.name}" not in submodules]
        found |= submodules
        if names_only:
            found.add(base)
    found.discard("__future__")
    return found


def subsystem(module: str) -> str:
    """The name under `linux` that a module belongs to; empty for everything else."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["ocirun", "linux"] and len(parts) > 2 else ""
