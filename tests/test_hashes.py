"""What CI installs is what was tested together: every pinned version with the digest of its file."""

import re
from pathlib import Path

from helpers.paths import ROOT


def lines_of(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def test_every_pinned_package_but_torch_has_a_digest() -> None:
    pinned = [line for line in lines_of(ROOT / "constraints.txt") if not line.startswith("torch==")]
    hashed = [re.fullmatch(r"(\S+) --hash=sha256:[0-9a-f]{64}", line) for line in lines_of(ROOT / "hashes.txt")]
    assert sorted(line[1] for line in hashed if line) == sorted(pinned)
    assert all(hashed)
