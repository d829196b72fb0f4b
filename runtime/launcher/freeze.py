"""Compiles the program's Python modules into the launcher.

Rules: run it with the interpreter that the launcher embeds (the bytecode has to match); only the standard library; the
same sources give the same bytes. What it writes into the output folder:

- ``frozen.bin``: the marshalled code of every module, one after the other
- ``frozen.c``: the tables that CPython's frozen importer reads, pointing into it

Frozen code is compiled without asserts and docstrings, and without what only a type checker reads: ``from __future__
import annotations``, ``if TYPE_CHECKING:`` blocks, and annotations (those of classes with a base or a decorator stay,
since dataclasses and TypedDicts read them). A module that mentions ``__file__`` gets its path in the library folder,
where ``./dev build`` puts a copy of the source roots for the data files in them. ``import os`` becomes `lean_os` where
that has all that is used.
"""

from __future__ import annotations
import __future__

import ast
import marshal
import posix
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

# What the interpreter loads before any of our code runs, by the name it is looked up with.
BOOTSTRAP = {
    "_frozen_importlib": "importlib._bootstrap",
    "_frozen_importlib_external": "importlib._bootstrap_external",
    "zipimport": "zipimport",
}
# What it loads next, and what every hot command needs.
STDLIB: tuple[str, ...] = (
    "_collections_abc",
    "abc",
    "codecs",
    "encodings",
    "encodings.aliases",
    "encodings.latin_1",
    "encodings.utf_8",
)
STDLIB += ("genericpath", "io", "os", "posixpath", "stat")

# CPython's own frozen modules are static objects, and a start writes to each of them, needed or not (1 ms). Defining
# all the symbols of those two object files here keeps them out of the link.
SOURCE = """\
/* Written by freeze.py. */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_import.h>
#include "launcher.h"

#if PY_VERSION_HEX >> 16 != 0x030b
#error "the launcher embeds Python 3.11: frozen modules are declared otherwise in another version"
#endif

__asm__(".pushsection .rodata\\n"
        ".balign 16\\n"
        "ocirun_frozen_code: .incbin \\"{blob}\\"\\n"
        ".popsection\\n");
extern const unsigned char ocirun_frozen_code[];

static const struct _frozen none[] = {{{{0}}}};
static const struct _frozen bootstrap[] = {{
{bootstrap}    {{0}},
}};
static const struct _frozen modules[] = {{
{modules}    {{0}},
}};

const struct _frozen *_PyImport_FrozenBootstrap = bootstrap;
const struct _frozen *_PyImport_FrozenStdlib = none;
const struct _frozen *_PyImport_FrozenTest = none;
const struct _frozen *PyImport_FrozenModules = modules;
static const struct _module_alias aliases[] = {{
{aliases}    {{0}},
}};
const struct _module_alias *_PyImport_FrozenAliases = aliases;

const struct _frozen *own_modules = modules + {standard};
const size_t own_modules_count = sizeof modules / sizeof *modules - 1 - {standard};

int _Py_Deepfreeze_Init(void);
int _Py_Deepfreeze_Init(void) {{ return 0; }}
void _Py_Deepfreeze_Fini(void);
void _Py_Deepfreeze_Fini(void) {{ }}
"""


LEAN_OS = "_ocirun_os"


def lean_names(source: Path) -> set[str]:
    """What `lean_os.py` offers, as ``name`` and ``path.name``."""
    names = {name for name in dir(posix) if not name.startswith("_")} | {"_exit"}
    for statement in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.FunctionDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign):
            names.update(node.id for node in ast.walk(statement.targets[0]) if isinstance(node, ast.Name))
        elif isinstance(statement, ast.ClassDef):
            names.update(
                f"{statement.name}.{each.name}" for each in statement.body if isinstance(each, ast.FunctionDef)
            )
    return names


def lean(tree: ast.Module, names: set[str]) -> None:
    """Let ``import os`` load the lean module instead, where everything that is used of `os` is in it."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = [
        node for node in imports if isinstance(node, ast.Import) and [each.name for each in node.names] == ["os"]
    ]
    others = [node for node in imports if node not in imported and "os" in ast.unparse(node).replace(".", " ").split()]
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "os":
            used.add(ast.unparse(parents[node]) if not is_path(parents[node]) else ast.unparse(parents[parents[node]]))
    if not others and all(use.removeprefix("os.") in names for use in used):
        for each in imported:
            each.names = [ast.alias(LEAN_OS, "os")]


def is_path(node: ast.AST) -> bool:
    """Whether it reads ``os.path``."""
    return isinstance(node, ast.Attribute) and node.attr == "path"


class ForRunning(ast.NodeTransformer):
    """Drops what only a type checker reads."""

    def __init__(self) -> None:
        self.kept: set[ast.AnnAssign] = set()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        """Drop ``from __future__``: the compiler is given the same flag."""
        return None if node.module == "__future__" else node

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt]:
        """Keep only the ``else`` of ``if TYPE_CHECKING:``."""
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse
        return filled(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | None:
        """Turn ``x: T = v`` into ``x = v`` and ``x: T`` into nothing."""
        if node in self.kept:
            return node
        self.generic_visit(node)
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        """Leave the fields of a class alone that something may read the annotations of."""
        if node.bases or node.decorator_list:
            self.kept.update(field for field in node.body if isinstance(field, ast.AnnAssign))
        self.generic_visit(node)
        return filled(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        """Drop the annotation of the result."""
        node.returns = None
        self.generic_visit(node)
        return filled(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Drop the annotation of one parameter."""
        node.annotation = None
        return node


def filled(node: ast.ClassDef | ast.FunctionDef | ast.If) -> ast.stmt:
    """The statement, with ``pass`` in a body that became empty."""
    node.body = node.body or [ast.Pass()]
    return node


def modules(package: Path) -> list[tuple[str, Path]]:
    """Every module of a package as (dotted name, file), packages by their ``__init__.py``, sorted by name."""
    found = []
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return sorted(found)


def standard_library(name: str) -> Path:
    """The file of a module of the standard library of the interpreter that runs this."""
    path = Path(__future__.__file__).parent.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def prepared(source: str, relative: Path, names: set[str]) -> ast.Module:
    """The syntax tree to compile for one of our modules; `relative` is its path in the library folder."""
    tree = ast.parse(source)
    uses_file = any(isinstance(node, ast.Name) and node.id == "__file__" for node in ast.walk(tree))
    ForRunning().visit(tree)
    lean(tree, names)
    if uses_file:
        prologue = f"import _ocirun; __file__ = _ocirun.library + {f'/{relative}'!r}"
        tree.body[:0] = ast.parse(prologue).body
    return ast.fix_missing_locations(tree)


def unlined(code: CodeType) -> CodeType:
    """The code without its table of line numbers: no traceback is ever shown."""
    consts = tuple(unlined(each) if isinstance(each, type(code)) else each for each in code.co_consts)
    return code.replace(co_linetable=b"", co_consts=consts)


def compiled(name: str, tree: ast.Module) -> bytes:
    """The marshalled code object of one module."""
    flags = __future__.annotations.compiler_flag
    code = unlined(compile(tree, f"<frozen {name}>", "exec", flags=flags, dont_inherit=True, optimize=2))
    # Which objects marshal writes as references depends on who else holds them; a round trip leaves the code's own.
    return marshal.dumps(marshal.loads(marshal.dumps(code)))


class Blob:
    """The marshalled code of all modules, and the rows of the tables that point into it."""

    def __init__(self) -> None:
        self.content = bytearray()

    def row(self, name: str, path: Path, tree: ast.Module) -> str:
        """Add a module; its row in C."""
        code, start = compiled(name, tree), len(self.content)
        self.content += code
        return (
            f'    {{"{name}", ocirun_frozen_code + {start}, {len(code)}, {int(path.name == "__init__.py")}, NULL}},\n'
        )

    def standard(self, name: str, origin: str) -> str:
        """Add a module of the standard library under a name of its own."""
        path = standard_library(origin)
        return self.row(name, path, ast.parse(path.read_text(encoding="utf-8")))

    def package(self, folder: Path, names: set[str]) -> list[str]:
        """Add every module of one of our packages; `names` is what the lean `os` offers."""
        return [
            self.row(name, path, prepared(path.read_text(encoding="utf-8"), path.relative_to(folder.parent), names))
            for name, path in modules(folder)
        ]


def main(arguments: list[str]) -> int:
    """``freeze.py OUTPUT PACKAGE...``: writes into the folder OUTPUT, each PACKAGE is the folder of one of ours."""
    output, blob = Path(arguments[0]), Blob()
    bootstrap = "".join(blob.standard(name, origin) for name, origin in BOOTSTRAP.items())
    frozen = "".join(blob.standard(name, name) for name in STDLIB)
    source = Path(__file__).with_name("lean_os.py")
    own = [blob.row(LEAN_OS, source, prepared(source.read_text(encoding="utf-8"), source, set()))]
    names = lean_names(source)
    for folder in arguments[1:]:
        own += blob.package(Path(folder), names)
    frozen += "".join(sorted(own))  # by name, as imports.c searches them
    (output / "frozen.bin").write_bytes(blob.content)
    aliases = "".join(f'    {{"{name}", "{origin}"}},\n' for name, origin in BOOTSTRAP.items() if name != origin)
    table = SOURCE.format(
        blob=output / "frozen.bin", bootstrap=bootstrap, modules=frozen, standard=len(STDLIB), aliases=aliases
    )
    (output / "frozen.c").write_text(table, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
