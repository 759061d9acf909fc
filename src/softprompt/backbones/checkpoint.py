"""Where an interrupted pretraining goes on: everything that training holds, in one file beside the model's folder."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from softprompt.files import write_atomically

DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Checkpoint:
    """One file, whole or not at all: a digest and what it is of. What another `key` wrote, or what is no longer as it
    was written, is not taken up."""

    path: Path
    key: str

    def write(self, content: Mapping[str, Any]) -> None:
        """Put `content` (tensors, numbers, texts, and lists and dictionaries of them) in place of what is there."""
        buffer = io.BytesIO()
        torch.save({"key": self.key, **content}, buffer)
        write_atomically(self.path, _digest(buffer.getvalue()) + buffer.getvalue())

    def read(self) -> dict[str, Any] | None:
        """What was written last, on the CPU; None where there is nothing of this key."""
        try:
            written = self.path.read_bytes()
        except OSError:
            return None
        digest, state = written[:DIGEST_BYTES], written[DIGEST_BYTES:]
        if digest != _digest(state):
            return None
        content: dict[str, Any] = torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
        return content if content["key"] == self.key else None


def checkpoint_path(out: Path) -> Path:
    """Where the pretraining of the model folder `out` keeps its checkpoint."""
    return out.with_name(f".{out.name}.checkpoint")


def _digest(state: bytes) -> bytes:
    return hashlib.sha256(state).digest()
