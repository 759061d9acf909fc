"""Records that are told from damaged, edited and swapped ones: files of the pipeline's own that it resumes from."""

import hashlib
from pathlib import Path
from typing import Self

from softprompt.results import Record


class SealedRecord(Record):
    """Its key names its file, its digest is of all else in it."""

    key: str
    sha256: str = ""

    def sealed(self) -> Self:
        """Ready to be written."""
        return self.model_copy(update={"sha256": self._digest()})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ValueError where the file is not what was written there."""
        record = cls.model_validate_json(path.read_bytes())
        if (record.key, record.sha256) != (path.stem, record._digest()):
            raise ValueError(f"{path}: changed since it was written")
        return record

    def _digest(self) -> str:
        return hashlib.sha256(self.model_dump_json(exclude={"sha256"}).encode()).hexdigest()
