"""prepare@SUITE: read and check a suite, write what may be learnt from to data/prepared/SUITE, the test splits to
data/test/SUITE."""

import argparse
import sys
from typing import TYPE_CHECKING

from softprompt.paths import Paths
from softprompt.stage import run_stage

if TYPE_CHECKING:
    from softprompt.config import Params


def prepare(params: "Params", arguments: argparse.Namespace) -> None:
    from softprompt.data.prepare import prepare_suite

    suite = arguments.suite
    prepare_suite(suite, params.suites[suite], params.world, Paths())


if __name__ == "__main__":
    sys.exit(run_stage(prepare, ["--suite"], offline=False))
