"""The content key of a pretraining: all that its weights depend on, so that none is repeated in vain."""

import ast
import hashlib
import json
from pathlib import Path

import tokenizers
import torch
import transformers

from softprompt.config import BackboneSettings
from softprompt.files import sha256_of_file

PACKAGE = Path(__file__).parent.parent
TRAINER = "backbones/pretraining.py"
DESCRIBED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)  # what may have a docstring


def pretraining_key(settings: BackboneSettings, texts: list[Path], answers: list[str], device: str) -> str:
    """Hex digest over settings, texts, answers, code, versions of the libraries and the type of the device."""
    parts = {
        "settings": settings.model_dump(mode="json", include={"kind", "architecture", "pretraining"}),
        "texts": [(path.name, sha256_of_file(path)) for path in texts],
        "answers": answers,
        "code": {name: code_digest(PACKAGE / name) for name in sorted(imported_files(TRAINER))},
        "versions": [torch.__version__, transformers.__version__, tokenizers.__version__],
        "device": device,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def imported_files(name: str) -> set[str]:
    """A module of this package with all others that it imports, itself or through others, by paths in the package.

    A subpackage that is imported as a whole is not followed: it is `softprompt.config`, whose values are in the key.
    """
    found, waiting = {name}, [name]
    while waiting:
        tree = ast.parse((PACKAGE / waiting.pop()).read_text(encoding="utf-8"))
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        files = {f"{module.replace('.', '/')}.py" for module in modules if module.startswith(f"{PACKAGE.name}.")}
        own = {file.removeprefix(f"{PACKAGE.name}/") for file in files}
        new = {file for file in own if (PACKAGE / file).is_file()} - found
        found |= new
        waiting += sorted(new)
    return found


def code_digest(path: Path) -> str:
    """Hex digest of a file's code without comments and docstrings, so that an edited sentence changes no key."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, DESCRIBED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
