"""evaluate@BACKBONE: answer the test split with every trained cell, write results/evaluate/BACKBONE."""

import argparse
import sys
from typing import TYPE_CHECKING

from softprompt.paths import Paths
from softprompt.stage import run_stage

if TYPE_CHECKING:
    from softprompt.config import Params


def evaluate(params: "Params", arguments: argparse.Namespace) -> None:
    from softprompt.backbones.loading import load_configured
    from softprompt.evaluation.evaluate import evaluate_backbone

    paths = Paths()
    backbone = load_configured(params, arguments.backbone, paths, threads=1)  # each worker has one
    evaluate_backbone(params, backbone, paths)


if __name__ == "__main__":
    sys.exit(run_stage(evaluate, ["--backbone"]))
