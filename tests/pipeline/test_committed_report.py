"""The report in this repository is, byte for byte, the one that was recorded when it was made."""

import json

from helpers.paths import ROOT
from softprompt.reporting.rendering.digests import PROVENANCE, sealed
from softprompt.usage.verify import changed_files

REPORTS = ROOT / "reports"


def test_the_committed_report_is_as_recorded() -> None:
    recorded = json.loads((REPORTS / PROVENANCE).read_text())
    assert sealed(recorded) == (REPORTS / PROVENANCE).read_text()
    assert recorded["report"]
    assert list(changed_files(REPORTS, recorded)) == []
