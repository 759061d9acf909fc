"""That a change of any file which a trained number depends on is seen, by DVC and by the key of the result."""

import ast
from pathlib import Path

import pytest
import yaml

from softprompt.methods import METHODS
from softprompt.training.code_version import CORE, PACKAGE

ROOT = Path(__file__).parent.parent


def watched_by_dvc(method: str) -> list[Path]:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train"]
    return [ROOT / dep.replace("${item.method}", method) for dep in stage["deps"] if dep.startswith("src/")]


def methods_files_read_by(file: Path) -> set[str]:
    """Files of the package's methods that a module imports, itself or through others."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("softprompt.methods."):
            name = f"{(node.module or '').removeprefix('softprompt.').replace('.', '/')}.py"
            found |= {name} | methods_files_read_by(PACKAGE / name)
    return found


@pytest.mark.parametrize("method", sorted(METHODS))
def test_all_code_of_a_method_is_in_its_key_and_watched_by_dvc(method: str) -> None:
    own = f"methods/{method}.py"
    keyed = {own, *METHODS[method].further_code, *CORE}
    assert methods_files_read_by(PACKAGE / own) <= keyed
    watched = watched_by_dvc(method)
    for name in keyed:
        assert (PACKAGE / name).is_file()
        assert any((PACKAGE / name).is_relative_to(place) for place in watched), name
