"""The package's own code: which files a module imports, and a digest of what they say, without running any.

Code counts without comments and docstrings.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def imported_files(roots: Iterable[Path], *, without: Iterable[str] = ()) -> set[Path]:
    """The roots and all files of the package that they import, themselves or through others.

    Imports inside functions count, those for type checkers do not. A package that goes through its own folder with
    `pkgutil.iter_modules` imports all modules in it. `without` names files and folders of the package
    that are neither counted nor followed, such as `config` or `tasks/metrics.py`.
    """
    barred = [PACKAGE / name for name in without]
    found: set[Path] = set()
    waiting = set(roots)
    while waiting:
        found |= waiting
        reached = {path for root in waiting for path in _imports_of(root)} - found
        waiting = {path for path in reached if not any(path.is_relative_to(place) for place in barred)}
    return found


@cache
def _imports_of(path: Path) -> frozenset[Path]:
    modules: set[str] = set()
    for node in _executed(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}:{node.lineno} imports relatively; write the package's name")
            modules |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Attribute) and node.attr == "iter_modules":
            return frozenset(path.parent.glob("*.py"))
    return frozenset(file for module in modules for file in files_of(module))


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _executed(node)


def files_of(module: str) -> Iterator[Path]:
    """The file of a module of this package with those of the packages around it; none of other packages' modules, nor
    of names that are no module."""
    top, *parts = module.split(".")
    if top != PACKAGE.name:
        return
    for depth in range(len(parts) + 1):
        place = PACKAGE.joinpath(*parts[:depth])
        if (place / "__init__.py").is_file():
            yield place / "__init__.py"
        elif place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")


def digest_of_files(roots: Iterable[Path], *, without: Iterable[str] = ()) -> str:
    """A digest of the code of `imported_files`, by the files' names in the package. A root may lie outside of it."""
    files = sorted(imported_files(roots, without=without))
    return digest_of_texts(f"{name_of(path)} {ast.dump(code_of(path))}" for path in files)


def name_of(path: Path) -> str:
    """As it stands in the package; its own name outside of it."""
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else path.name


def digest_of_texts(texts: Iterable[str]) -> str:
    """Twelve hex digits over texts in their order."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def code_of(path: Path) -> ast.Module:
    """A file's syntax tree without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:  # type: ignore[arg-type]
            del node.body[0]  # type: ignore[attr-defined]
    return tree
