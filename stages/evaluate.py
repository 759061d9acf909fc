"""evaluate@BACKBONE: answer the test split with every trained cell, write results/evaluate/BACKBONE."""

import argparse
import sys

from softprompt.config import Params
from softprompt.paths import Paths
from softprompt.stage import run_stage


def evaluate(params: Params, arguments: argparse.Namespace) -> None:
    from softprompt.backbones.backbone import load_backbone
    from softprompt.device import choose_device
    from softprompt.evaluation.evaluate import evaluate_backbone

    name = arguments.backbone
    settings = params.backbones[name]
    device = choose_device(params.device, threads=params.device.workers)
    backbone = load_backbone(name, settings.kind, Paths().backbone(name), device, dtype=settings.dtype)
    evaluate_backbone(params, backbone, Paths())


if __name__ == "__main__":
    sys.exit(run_stage(evaluate, ["--backbone"]))
