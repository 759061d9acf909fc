"""Which pretraining a model folder and its report are the outcome of, so that the same one is not done again."""

import json
from dataclasses import dataclass
from pathlib import Path

from softprompt.errors import UserError
from softprompt.files import sha256_of_file, sha256_of_folder, write_atomically

REPORT = ("loss.csv", "cost.csv")


@dataclass(frozen=True)
class Finished:
    """The record of a finished pretraining, beside its report: its key and the digests of all that it wrote.

    Not in the model folder, whose digest is the backbone's revision.
    """

    model: Path
    results: Path

    @property
    def path(self) -> Path:
        return self.results / "pretraining.json"

    def write(self, key: str) -> None:
        """Record that model and report are there; to be called last."""
        write_atomically(self.path, self._record(key))

    def holds(self, key: str) -> bool:
        """Whether model and report are those of this key, and no byte of them was changed or lost."""
        try:
            return self.model.is_dir() and self.path.read_bytes() == self._record(key).encode()
        except OSError:  # something is missing
            return False

    def refuse_changed(self) -> None:
        """Raises UserError where the model folder is not the one of the record, if there is one."""
        if self.path.is_file() and not self._describes_model():
            raise UserError(
                f"{self.model}: not the model that was pretrained; run `dvc repro backbone@{self.model.name}`, which "
                "makes it anew"
            )

    def _describes_model(self) -> bool:
        try:
            return bool(json.loads(self.path.read_bytes())["model"] == sha256_of_folder(self.model))
        except (OSError, ValueError, LookupError, TypeError):
            return False

    def _record(self, key: str) -> str:
        digests = {name: sha256_of_file(self.results / name) for name in REPORT}
        return json.dumps({"key": key, "model": sha256_of_folder(self.model)} | digests, indent=1) + "\n"
