"""The content key of a pretraining: all that its weights depend on, so that none is repeated in vain."""

import hashlib
import json
from pathlib import Path

import tokenizers
import torch
import transformers

from softprompt.config import BackboneSettings
from softprompt.files import sha256_of_file
from softprompt.source_code import PACKAGE, digest_of_files

TRAINER = PACKAGE / "backbones" / "pretraining.py"
NOT_FOLLOWED = ("config", "errors.py", "files.py", "progress.py")  # values that are in the key, and no calculation


def pretraining_key(settings: BackboneSettings, texts: list[Path], answers: list[str], device: str) -> str:
    """Hex digest over settings, texts, answers, code, versions of the libraries and the device."""
    parts = {
        "settings": settings.model_dump(mode="json", include={"kind", "architecture", "pretraining"}),
        "texts": [(path.name, sha256_of_file(path)) for path in texts],
        "answers": answers,
        "code": digest_of_files([TRAINER], without=NOT_FOLLOWED),
        "versions": [torch.__version__, transformers.__version__, tokenizers.__version__],
        "device": device,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
