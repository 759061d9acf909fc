"""Records on disk, told from damaged, edited and swapped ones: what a stage leaves for itself and for others."""

import hashlib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from softprompt.files import write_atomically


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")  # a loss may run away


class SealedRecord(Record):
    """A file of its own, with a digest of where it lies and of all else in it."""

    schema_version: Literal[3] = 3  # another one is made anew
    sha256: str = ""

    def sealed(self, path: Path) -> Self:
        """Ready to be written there."""
        return self.model_copy(update={"sha256": self._digest(path)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ValueError where the file is not what was written there."""
        record = cls.model_validate_json(path.read_bytes())
        if record.sha256 != record._digest(path):
            raise ValueError("changed since it was written")
        return record

    def _digest(self, path: Path) -> str:
        content = self.model_dump_json(exclude={"sha256"})
        return hashlib.sha256(f"{path.parent.name}/{path.name}\n{content}".encode()).hexdigest()


def write_record(path: Path, record: SealedRecord) -> None:
    """One JSON file, sorted by field order of its model, sealed and written atomically."""
    write_atomically(path, record.sealed(path).model_dump_json(indent=1) + "\n")
