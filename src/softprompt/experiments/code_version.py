"""Which code a number depends on, so that a changed method, loop or metric is trained anew and nothing else is.

Code counts without comments and docstrings.
"""

import ast
import hashlib
import inspect
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from softprompt.experiments.imports import PACKAGE, files_of, imported_files
from softprompt.methods.base import METHODS
from softprompt.tasks.metrics import METRICS

MEMBERS = PACKAGE / "experiments" / "members.py"
TUNING = PACKAGE / "experiments" / "tuning.py"
# What these say enters keys by value (settings with their defaults, digests of data, texts of templates, one metric),
# or they store, name and report but calculate nothing.
NOT_FOLLOWED = (
    "config",
    "data",
    "tasks/load.py",
    "tasks/metrics.py",
    "backbones/memory.py",
    "methods/__init__.py",
    "errors.py",
    "files.py",
    "paths.py",
    "progress.py",
    "registry.py",
    "results.py",
)


@cache
def code_version(method: str) -> str:
    """Digest over the method's module, the one that builds and trains members, and all that they import."""
    return _digest_of_files([Path(inspect.getfile(METHODS[method])), MEMBERS])


@cache
def tuning_version() -> str:
    """Digest over the module that proposes trials and all that it imports."""
    return _digest_of_files([TUNING])


@cache
def metric_version(name: str) -> str:
    """Digest over the function of one metric and what it uses of its own and other modules of the package."""
    function = METRICS[name].function
    found: dict[tuple[Path, str], str] = {}
    _find_definition(Path(inspect.getfile(function)), function.__name__, found)
    return _digest(f"{path.name} {used} {code}" for (path, used), code in sorted(found.items()))


def code_of(path: Path) -> ast.Module:
    """A file's syntax tree without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:  # type: ignore[arg-type]
            del node.body[0]  # type: ignore[attr-defined]
    return tree


def _digest_of_files(roots: Iterable[Path]) -> str:
    files = sorted(imported_files(roots, without=NOT_FOLLOWED))
    return _digest(f"{_name_of(path)} {ast.dump(code_of(path))}" for path in files)


def _name_of(path: Path) -> str:
    """Within the package; a method may be defined elsewhere."""
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else path.name


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _find_definition(path: Path, name: str, found: dict[tuple[Path, str], str]) -> None:
    """Adds the code behind a module-level name, and behind all such names that it uses in turn."""
    node = _definitions(path).get(name)
    if node is None or (path, name) in found:
        return
    found[path, name] = ast.dump(node)
    if isinstance(node, ast.ImportFrom):
        original = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
        for home in files_of(str(node.module)):
            _find_definition(home, original, found)
    for used in ast.walk(node):
        if isinstance(used, ast.Name):
            _find_definition(path, used.id, found)


@cache
def _definitions(path: Path) -> dict[str, ast.stmt]:
    """What each module-level name of a file is."""
    return {name: node for node in code_of(path).body for name in _bound_by(node)}


def _bound_by(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
