"""A changed line of code reaches the key of every result that hangs on it, and of no other."""

import ast
import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from softprompt import source_code
from softprompt.experiments import code_version as versions
from softprompt.methods import METHODS
from softprompt.source_code import PACKAGE, imported_files

SOME = ("p_tuning", "pet", "autoprompt")


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package's sources in a folder of their own, from which digests are taken."""
    folder = tmp_path / "softprompt"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_code, "PACKAGE", folder)
    for name in ("ROOTS", "TUNING"):
        monkeypatch.setattr(
            versions, name, tuple(folder / path.relative_to(PACKAGE) for path in getattr(versions, name))
        )
    for name in SOME:
        module = sys.modules[METHODS[name].__module__]
        monkeypatch.setattr(module, "__file__", str(folder / "methods" / f"{name}.py"))
    yield folder
    forget()


def forget() -> None:
    for remembered in (versions.code_version, versions.tuning_version, source_code._imports_of):
        remembered.cache_clear()


def versions_after(path: Path, line: str) -> dict[str, str]:
    path.write_text(path.read_text() + f"\n{line}\n")
    forget()
    return all_versions()


def all_versions() -> dict[str, str]:
    return {name: versions.code_version(name) for name in SOME} | {"tuning": versions.tuning_version()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("methods/p_tuning.py", {"p_tuning"}),
        ("methods/shared/pattern_ensembles.py", {"pet"}),
        ("training/triggers.py", {"autoprompt"}),
        ("training/loop.py", {*SOME, "tuning"}),
        ("experiments/members.py", {*SOME, "tuning"}),
        ("experiments/untrained.py", {"tuning"}),
        ("backbones/loading.py", set(SOME)),
        ("seeding.py", {*SOME, "tuning"}),
        ("experiments/tuning.py", {"tuning"}),
        ("tasks/metrics.py", set()),
        ("experiments/runner.py", {"tuning"}),
        ("experiments/fleet_training.py", {"tuning"}),
        ("experiments/assignment.py", set()),
        ("experiments/workers.py", set()),
        ("experiments/executors/local.py", set()),
        ("experiments/executors/on_ray.py", set()),
        ("experiments/train.py", set()),
        ("reporting/aggregate.py", set()),
        ("config/params.py", set()),
    ],
)
def test_a_changed_file_reaches_the_keys_of_what_imports_it(copy: Path, file: str, expected: set[str]) -> None:
    forget()
    before = all_versions()
    assert changed(before, versions_after(copy / file, "FURTHER = 1")) == expected
    before = all_versions()
    assert changed(before, versions_after(copy / file, "# a remark")) == set()


def test_docstrings_and_comments_are_no_code(tmp_path: Path) -> None:
    texts = ('"""One."""\ndef f():\n    """Two."""\n    return 1\n', "def f():  # three\n    return 1\n")
    path = tmp_path / "some.py"
    dumped = []
    for text in texts:
        path.write_text(text)
        dumped.append(ast.dump(source_code.code_of(path)))
    assert dumped[0] == dumped[1]


def test_imports_of_functions_count_and_those_for_type_checkers_do_not() -> None:
    found = imported_files([PACKAGE / "methods" / "base.py"])
    assert PACKAGE / "config" / "parsing.py" in found
    members = imported_files([PACKAGE / "experiments" / "members.py"])
    assert PACKAGE / "experiments" / "jobs.py" not in members


def module_of(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of metrics in a file of its own."""
    name = f"metrics_{len(list(folder.iterdir()))}"
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    return importlib.import_module(name)


METRIC = '''
HALF = 0.5
OTHER = 3
def halved(value):
    return value * HALF
def score(predictions):
    """Some number."""
    return halved(len(predictions))
def another(predictions):
    return OTHER
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("HALF = 0.5", "HALF = 0.25", False),
        ("value * HALF", "HALF * value", False),
        ("halved(len", "halved(1 + len", False),
        ("OTHER = 3", "OTHER = 4", True),
        ("return OTHER", "return 0", True),
        ("Some number", "Some other number", True),
    ],
)
def test_a_metric_is_keyed_by_its_function_and_what_that_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, same: bool
) -> None:
    found = []
    for text in (METRIC, METRIC.replace(old, new)):
        module = module_of(tmp_path, text, monkeypatch)
        metric = versions.METRICS["accuracy"].__class__("some", True, module.score)
        monkeypatch.setitem(versions.METRICS, "some", metric)
        versions.metric_version.cache_clear()
        found.append(versions.metric_version("some").split())
        del sys.modules[module.__name__]
    assert (found[0] == found[1]) == same
