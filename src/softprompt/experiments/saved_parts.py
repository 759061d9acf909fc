"""What cells keep from training: a safetensors file each, whose digest stands in the records that speak of it."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from softprompt.errors import UserError
from softprompt.files import sha256_of_file, write_atomically
from softprompt.finite import not_finite


def packed(parts: Mapping[str, Tensor]) -> bytes:
    """The file that holds the parts."""
    return save({name: tensor.contiguous().cpu() for name, tensor in parts.items()})


@dataclass(frozen=True)
class SavedParts:
    """The files of one train folder."""

    folder: Path

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def save(self, key: str, parts: Mapping[str, Tensor]) -> str:
        """The digest of the file that holds the parts; where there are none, there is no file, and it is ""."""
        if not parts:
            return ""
        content = packed(parts)
        self.write(key, content)
        return hashlib.sha256(content).hexdigest()

    def write(self, key: str, content: bytes) -> None:
        """Put a file of `packed` parts there."""
        write_atomically(self.path(key), content)

    def holds(self, key: str, digest: str) -> bool:
        """Whether the file is there, and the one that was saved."""
        try:
            return sha256_of_file(self.path(key)) == digest
        except OSError:
            return False

    def load(self, key: str, digest: str) -> dict[str, Tensor]:
        """What was saved. Raises UserError where the file is absent or another, or holds what is no number."""
        content = self.path(key).read_bytes() if self.path(key).is_file() else b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise UserError(f"{self.path(key)}: not the file that training saved; run `dvc repro`, which makes it anew")
        parts = load(content)
        broken = not_finite(parts.items())
        if broken:
            raise UserError(f"{self.path(key)}: {broken} is not finite; delete the file and run `dvc repro`")
        return parts

    def hand_on(self, key: str, other: "SavedParts") -> None:
        """The same file in another folder: a second name of it, where the file system has such."""
        other.folder.mkdir(parents=True, exist_ok=True)
        try:
            other.path(key).hardlink_to(self.path(key))
        except OSError:
            shutil.copyfile(self.path(key), other.path(key))

    def drop(self, key: str) -> None:
        """Where a cell answers no more."""
        self.path(key).unlink(missing_ok=True)
