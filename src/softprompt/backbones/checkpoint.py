"""Where an interrupted pretraining goes on: everything that training holds, in one file beside the model's folder."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from softprompt.config import BackboneSettings
from softprompt.files import sha256_of_file, write_atomically


@dataclass(frozen=True)
class Checkpoint:
    """One file, whole or not at all. What another `key` wrote is not taken up."""

    path: Path
    key: str

    def write(self, content: Mapping[str, Any]) -> None:
        """Put `content` (tensors, numbers, texts, and lists and dictionaries of them) in place of what is there."""
        buffer = io.BytesIO()
        torch.save({"key": self.key, **content}, buffer)
        write_atomically(self.path, buffer.getvalue())

    def read(self) -> dict[str, Any] | None:
        """What was written last, on the CPU; None where there is nothing of this key."""
        if not self.path.is_file():
            return None
        content: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return content if content["key"] == self.key else None


def checkpoint_path(out: Path) -> Path:
    """Where the pretraining of the model folder `out` keeps its checkpoint."""
    return out.with_name(f".{out.name}.checkpoint")


def checkpoint_of(
    out: Path, settings: BackboneSettings, texts: list[Path], answers: list[str], device: str
) -> Checkpoint:
    """The checkpoint of the model folder `out`; its key names everything that the weights depend on."""
    code = [sha256_of_file(path) for path in sorted(Path(__file__).parent.glob("*.py"))]
    parts = [settings.model_dump(mode="json"), [sha256_of_file(path) for path in texts], answers, code]
    described = json.dumps([*parts, torch.__version__, device], sort_keys=True)
    return Checkpoint(checkpoint_path(out), hashlib.sha256(described.encode()).hexdigest())
