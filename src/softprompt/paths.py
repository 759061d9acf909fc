"""Where the stages keep things, relative to the project's root."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The folders of one working copy."""

    root: Path = Path()

    @property
    def prepared(self) -> Path:
        return self.root / "data" / "prepared"

    @property
    def test(self) -> Path:
        return self.root / "data" / "test"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def suite(self, suite: str) -> Path:
        """What may be learnt from."""
        return self.prepared / suite

    def test_suite(self, suite: str) -> Path:
        """What is only evaluated on."""
        return self.test / suite

    def backbone(self, name: str) -> Path:
        return self.root / "models" / name

    def pretraining(self, backbone: str) -> Path:
        return self.results / "pretraining" / backbone

    def train(self, method: str, backbone: str) -> Path:
        return self.results / "train" / backbone / method

    def timings(self, method: str, backbone: str) -> Path:
        """Seconds and memory, which no two runs share."""
        return self.results / "timings" / backbone / f"{method}.csv"

    def journal(self, method: str, backbone: str) -> Path:
        """What a train stage goes on from; no out of it, so that only what counts is hashed, cached and shared."""
        return self.results / "journal" / backbone / method

    def evaluate(self, backbone: str) -> Path:
        return self.results / "evaluate" / backbone
