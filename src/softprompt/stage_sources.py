"""What each stage runs, derived from its imports: one file a stage, and one a trained method, with digests of sources.

In dvc.yaml a stage depends on its file alone, so touching the report never retrains a model, nor does a comment. Listed
one by one, the sources of all stages would be most of dvc.lock, all of which DVC reads and writes after every stage.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

from softprompt.config import Run
from softprompt.files import replaced_folder
from softprompt.source_code import PACKAGE, code_of, imported_files, name_of

THIS = "sources"  # the stage that writes the files
NOT_FOLLOWED = ("stage.py", "methods/__init__.py")  # what turns errors into messages, and finds methods by name


def write_sources(run: Run, stages: Path, out: Path) -> None:
    """`out`/STAGE.txt of every script in `stages`, for train METHOD.txt in a folder; a line a file with its digest."""
    with replaced_folder(out) as folder:
        for name, roots in roots_of(run, stages).items():
            path = folder / f"{name}.txt"
            path.parent.mkdir(exist_ok=True)
            lines = sorted(f"{name_of(source)} {digest_of(source)}\n" for source in sources_of(roots))
            path.write_text("".join(lines), encoding="utf-8")


def roots_of(run: Run, stages: Path) -> dict[str, list[Path]]:
    """The script of each stage, with the files of the methods that it runs, by the name of the file that it makes."""
    scripts = {path.stem: path for path in stages.glob("*.py") if path.stem != THIS}
    train = scripts.pop("train")
    found = {name: [script] for name, script in scripts.items()}
    found["untrained"] += [method_file(name) for name in run.untrained]
    found["evaluate"] += [method_file(name) for name in run.methods]
    return found | {f"train/{name}": [train, method_file(name)] for name in run.trained}


def method_file(name: str) -> Path:
    return PACKAGE / "methods" / f"{name}.py"


def sources_of(roots: list[Path]) -> set[Path]:
    """The roots with all modules of the package that they import, and the data files that these read."""
    python = imported_files(roots, without=NOT_FOLLOWED)
    return python | {path for path in data_files() if any(_reads(module, path) for module in python)}


@cache
def digest_of(path: Path) -> str:
    """Of what a module says without comments and docstrings, or of a data file's bytes."""
    content = ast.dump(code_of(path)).encode() if path.suffix == ".py" else path.read_bytes()
    return hashlib.sha256(content).hexdigest()


@cache
def data_files() -> frozenset[Path]:
    """All files of the package that are no modules, as DVC sees them."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return frozenset(path for path in files if path.suffix != ".py")


def _reads(module: Path, data: Path) -> bool:
    """Whether a module names a data file of its part of the package, or a folder of nothing but data that holds it."""
    part = PACKAGE / data.relative_to(PACKAGE).parts[0]
    if not module.is_relative_to(part):
        return False
    return bool(_texts_in(module) & {data.name, *_folders_of_data(data.parent, part)})


@cache
def _folders_of_data(folder: Path, part: Path) -> frozenset[str]:
    """The names of a folder and those around it, within a part of the package, which hold no module."""
    around = (one for one in (folder, *folder.parents) if one.is_relative_to(part))
    return frozenset(one.name for one in around if not any(one.rglob("*.py")))


@cache
def _texts_in(module: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(module.read_text(encoding="utf-8")))
    return frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
