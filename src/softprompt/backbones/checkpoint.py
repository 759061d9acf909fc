"""Where an interrupted pretraining goes on: everything that training holds, in one file beside the model's folder."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from softprompt.files import write_atomically


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
