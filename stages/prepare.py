"""prepare@SUITE: read and check a suite, write its tables and manifest to data/prepared/SUITE."""

import argparse
import sys

from softprompt.config import Params
from softprompt.paths import Paths
from softprompt.stage import run_stage


def prepare(params: Params, arguments: argparse.Namespace) -> None:
    from softprompt.data.prepare import prepare_suite

    suite = arguments.suite
    prepare_suite(suite, params.suites[suite], params.world, Paths().suite(suite))


if __name__ == "__main__":
    sys.exit(run_stage(prepare, ["--suite"], offline=False))
