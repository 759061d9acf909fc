"""Which code a number depends on, so that a changed method, loop or metric is trained anew and nothing else is.

Code counts without comments and docstrings.
"""

import ast
import inspect
from functools import cache
from pathlib import Path

from softprompt.methods.base import METHODS
from softprompt.source_code import PACKAGE, code_of, digest_of_files, digest_of_texts, files_of
from softprompt.tasks.metrics import METRICS

# Where members are built and trained, what they learn from, and how a model folder becomes a backbone.
ROOTS = tuple(
    PACKAGE / name for name in ("experiments/members.py", "experiments/task_loading.py", "backbones/loading.py")
)
# What proposes trials and what scores them. Who trains, and where, is in neither.
TUNING = tuple(
    PACKAGE / "experiments" / name for name in ("tuning.py", "trained.py", "untrained.py", "fleet_training.py")
)
# What these say enters keys by value (settings with their defaults, digests of data, texts of templates, one metric),
# or they store, name and report but calculate nothing.
NOT_FOLLOWED = (
    "config",
    "data",
    "tasks/load.py",
    "tasks/metrics.py",
    "backbones/memory.py",
    "backbones/size.py",
    "methods/__init__.py",
    "errors.py",
    "files.py",
    "paths.py",
    "progress.py",
    "registry.py",
    "records.py",
    "results.py",
)


@cache
def code_version(method: str) -> str:
    """Digest over the method's module, those that load backbones and train members, and all that they import."""
    return digest_of_files([Path(inspect.getfile(METHODS[method])), *ROOTS], without=NOT_FOLLOWED)


@cache
def tuning_version() -> str:
    """Digest over the modules that propose and score trials, and all that they import."""
    return digest_of_files(TUNING, without=NOT_FOLLOWED)


@cache
def metric_version(name: str) -> str:
    """Digest over the function of one metric and what it uses of its own and other modules of the package."""
    function = METRICS[name].function
    found: dict[tuple[Path, str], str] = {}
    _find_definition(Path(inspect.getfile(function)), function.__name__, found)
    return digest_of_texts(sorted(f"{used} {code}" for (_, used), code in found.items()))


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
    registering = {used for decorator in getattr(node, "decorator_list", ()) for used in ast.walk(decorator)}
    for used in ast.walk(node):
        if isinstance(used, ast.Name) and used not in registering:
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
