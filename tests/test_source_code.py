"""Which files a module imports, and what of their text counts as code."""

import ast
from pathlib import Path

from softprompt.source_code import PACKAGE, code_of, imported_files


def test_imports_are_followed_through_other_modules() -> None:
    files = {path.relative_to(PACKAGE).as_posix() for path in imported_files([PACKAGE / "backbones/pretraining.py"])}
    assert {"backbones/pretraining.py", "backbones/packing.py", "backbones/architectures.py", "seeding.py"} <= files
    assert not files & {"backbones/snapshots.py", "backbones/attention.py", "evaluation/knowledge.py"}


def test_prose_is_no_code(tmp_path: Path) -> None:
    text = 'def double(x):\n    """{0}"""\n    return {1} * x  # {0}\n'
    codes = []
    for prose, factor in (("Twice.", 2), ("Two times.", 2), ("Twice.", 3)):
        (tmp_path / "double.py").write_text(text.format(prose, factor))
        codes.append(ast.dump(code_of(tmp_path / "double.py")))
    assert codes[0] == codes[1] != codes[2]
