"""Files and functions that one can take in at a glance."""

import ast
from pathlib import Path

import pytest

from helpers.paths import ROOT

FILES = sorted(path for folder in ("src", "stages") for path in (ROOT / folder).rglob("*.py"))
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 250, 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_OF_A_FILE
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = {one.name: one.end_lineno - one.lineno + 1 for one in functions if one.end_lineno is not None}
    assert {name: lines for name, lines in long.items() if lines > LINES_OF_A_FUNCTION} == {}
