"""What the network gave on first use, so that the same address can never give something else unnoticed."""

import json
from dataclasses import dataclass
from pathlib import Path

from softprompt.errors import UserError, reason_of
from softprompt.files import write_atomically


@dataclass(frozen=True)
class Lock:
    """A JSON file of address -> SHA-256 of a file, or revision of a repository. It may be committed to git."""

    path: Path

    def recorded(self, address: str) -> str | None:
        """The SHA-256 or revision of first use; None before."""
        return self._read().get(address)

    def record(self, address: str, digest: str) -> None:
        """Save the SHA-256 or revision of an address. An entry is never replaced."""
        entries = {address: digest, **self._read()}
        write_atomically(self.path, json.dumps(entries, indent=1, sort_keys=True) + "\n")

    def _read(self) -> dict[str, str]:
        if not self.path.is_file():
            return {}
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.path}: not JSON ({reason_of(error)}); restore it from git or delete it") from None
        if not isinstance(entries, dict) or not all(isinstance(entry, str) for entry in entries.values()):
            raise UserError(f"{self.path}: expected an object of texts; restore it from git or delete it")
        return entries
