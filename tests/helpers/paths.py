"""Where the project and the real data beside it lie."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Real data sets in the layout of data/raw, for the fixture `real_data`.
REAL = Path(os.environ.get("SOFTPROMPT_REAL_DATA", ROOT.parent / "shared" / "data"))
