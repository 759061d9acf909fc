"""That a change of any file which a trained number depends on is seen, by DVC and by the key of the result."""

import ast
from pathlib import Path

import pytest
import yaml

from helpers.paths import ROOT
from softprompt.experiments.code_version import CORE, PACKAGE
from softprompt.methods import METHODS

CALCULATING = (
    "backbones/a",
    "backbones/backbone",
    "backbones/forward",
    "backbones/loading",
    "methods/",
    "seeding",
    "tasks/",
    "training/",
)
# Imported, but no number hangs on it: what it reads or plans is itself in the key, or it only names and stores.
NEUTRAL = {
    "tasks/data_section.py",
    "tasks/definition_checks.py",
    "tasks/load.py",
    "tasks/template_families.py",
    "experiments/jobs.py",
    "experiments/store.py",
    "backbones/architectures.py",
}


def watched_by_dvc(method: str) -> list[Path]:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train"]
    return [ROOT / dep.replace("${item.method}", method) for dep in stage["deps"] if dep.startswith("src/")]


def read_by(name: str, found: set[str]) -> set[str]:
    """The package's files that one of them imports, itself or through others."""
    for node in ast.walk(ast.parse((PACKAGE / name).read_text())):
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        imported = f"{module.removeprefix('softprompt.').replace('.', '/')}.py"
        if module.startswith("softprompt.") and (PACKAGE / imported).is_file() and imported not in found:
            found.add(imported)
            read_by(imported, found)
    return found


@pytest.mark.parametrize("method", sorted(METHODS))
def test_all_code_of_a_method_is_in_its_key_and_watched_by_dvc(method: str) -> None:
    own = f"methods/{method}.py"
    keyed = {own, *METHODS[method].further_code, *CORE}
    calculating = {
        name for name in read_by(own, {own}) | read_by("experiments/runner.py", set()) if name.startswith(CALCULATING)
    }
    assert calculating - keyed <= NEUTRAL
    watched = watched_by_dvc(method)
    for name in keyed:
        assert (PACKAGE / name).is_file()
        assert any((PACKAGE / name).is_relative_to(place) for place in watched), name
