"""sources: what each stage runs, with digests, to results/sources."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from softprompt.paths import Paths
from softprompt.stage import run_stage

if TYPE_CHECKING:
    from softprompt.config import Params


def sources(params: "Params", arguments: argparse.Namespace) -> None:  # noqa: ARG001 - stages share a signature
    from softprompt.stage_sources import write_sources

    write_sources(params.run, Path(__file__).parent, Paths().results / "sources")


if __name__ == "__main__":
    sys.exit(run_stage(sources))
