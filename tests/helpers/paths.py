"""Where the project and the real data beside it lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data"  # real data sets, in CI only; tests that need them skip where they are absent
