"""untrained@BACKBONE: the cells of all methods that train nothing, written to results/train/BACKBONE/untrained."""

import argparse
import sys

from softprompt.config import Params
from softprompt.paths import Paths
from softprompt.stage import run_stage


def untrained(params: Params, arguments: argparse.Namespace) -> None:
    from softprompt.backbones.backbone import load_backbone
    from softprompt.device import choose_device
    from softprompt.experiments.train import train_method
    from softprompt.methods import build_method

    paths, settings = Paths(), params.backbones[arguments.backbone]
    paths.train("untrained", arguments.backbone).mkdir(parents=True, exist_ok=True)  # an out, be it empty
    device = choose_device(params.device, threads=params.device.workers)
    folder = paths.backbone(arguments.backbone)
    backbone = load_backbone(arguments.backbone, settings.kind, folder, device, dtype=settings.dtype)
    for name in params.run.untrained:
        train_method(params, name, build_method(name, params.methods[name]), backbone, paths)


if __name__ == "__main__":
    sys.exit(run_stage(untrained, ["--backbone"]))
