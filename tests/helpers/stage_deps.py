"""Which files of this project a stage runs, derived from its imports: what `deps` of dvc.yaml have to name.

Run as `python -m helpers.stage_deps` from the folder tests, it prints the lists as they should stand there.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from helpers.paths import ROOT
from softprompt.methods import METHODS, TrainedMethod
from softprompt.source_code import PACKAGE, imported_files

STAGES = ("prepare", "backbone", "untrained", "train", "evaluate", "aggregate", "publish")
MOST = 0.5  # of a folder's files
ANY_METHOD = "src/softprompt/methods/${item.method}.py"


def files_of_stage(stage: str) -> set[Path]:
    """Python files and data files of the package. Not followed: what parses flags and turns errors into messages."""
    roots = [ROOT / "stages" / f"{stage}.py"]
    if stage in ("untrained", "train", "evaluate"):  # which find their methods by name
        roots += method_files("evaluate")
    python = imported_files(roots, without=["stage.py", "methods/__init__.py"]) - other_methods(stage)
    if any("methods" in path.parts for path in roots):
        python.add(PACKAGE / "methods" / "__init__.py")
    return python | {path for path in data_files() if any(_reads(module, path) for module in python)}


def method_files(stage: str) -> list[Path]:
    """The own files of all methods that a stage may run."""
    kinds = {"untrained": (False,), "train": (True,)}.get(stage, (False, True))
    names = [name for name, method in METHODS.items() if issubclass(method, TrainedMethod) in kinds]
    return [PACKAGE / "methods" / f"{name}.py" for name in names]


def other_methods(stage: str) -> set[Path]:
    """The own files of methods that it does not run. What these import counts all the same, so that a new part is
    among the deps of both stages that make cells, whoever uses it."""
    return {PACKAGE / "methods" / f"{name}.py" for name in METHODS} - set(method_files(stage))


def deps_of_stage(stage: str) -> list[str]:
    """The stage's files as dvc.yaml should list them: a folder where half of its files or more are among them.

    DVC reads and writes all of dvc.lock at every stage, which takes a second for every 10,000 lines.
    """
    files = files_of_stage(stage)
    extra = []
    if stage == "train":
        files -= set(method_files(stage))
        extra = [ANY_METHOD]
    inside = {path for path in files if path.is_relative_to(PACKAGE)}
    named = [_from_root(path) for path in (*_folded(PACKAGE, inside), *(files - inside))]
    return sorted([*named, *extra], key=lambda name: (not name.startswith("stages/"), name))


def expanded(deps: list[str]) -> set[Path]:
    """The files that a list of `deps` names, those of all methods for a method's own."""
    found: set[Path] = set()
    for dep in deps:
        if dep == ANY_METHOD:
            found |= set(method_files("train"))
        elif (ROOT / dep).is_dir():
            found |= {path for path in all_files() if path.is_relative_to(ROOT / dep)}
        else:
            found.add(ROOT / dep)
    return found


@cache
def all_files() -> frozenset[Path]:
    """All files of the package that DVC sees."""
    return frozenset(path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def data_files() -> list[Path]:
    return [path for path in all_files() if path.suffix != ".py"]


def _reads(module: Path, data: Path) -> bool:
    """Whether a module names a data file of its part of the package, or a folder of nothing but data that holds it."""
    part = PACKAGE / data.relative_to(PACKAGE).parts[0]
    if not module.is_relative_to(part):
        return False
    folders = {folder.name for folder in data.parents if folder.is_relative_to(part) and not any(folder.rglob("*.py"))}
    return bool(_texts_in(module) & {data.name, *folders})


@cache
def _texts_in(module: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(module.read_text(encoding="utf-8")))
    return frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _folded(folder: Path, files: set[Path]) -> Iterator[Path]:
    """`files` below a folder, with folders in place of most of their files."""
    below = {path for path in all_files() if path.is_relative_to(folder)}
    if len(below & files) >= MOST * len(below) and folder != PACKAGE:
        yield folder
        return
    yield from sorted(path for path in files if path.parent == folder)
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if any(path.is_relative_to(inner) for path in files):
            yield from _folded(inner, files)


def _from_root(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


if __name__ == "__main__":
    for name in STAGES:
        print(f"{name}:\n" + "\n".join(f"      - {dep}" for dep in deps_of_stage(name)))  # noqa: T201 - for a person
