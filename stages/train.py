"""train@METHOD-BACKBONE: tune on dev, train on fresh seeds, write results/train/BACKBONE/METHOD."""

import argparse
import sys

from softprompt.config import Params
from softprompt.paths import Paths
from softprompt.stage import run_stage


def train(params: Params, arguments: argparse.Namespace) -> None:
    from softprompt.backbones.backbone import load_backbone
    from softprompt.device import choose_device
    from softprompt.experiments.train import train_method
    from softprompt.methods import build_method

    name, backbone_name = arguments.method, arguments.backbone
    method = build_method(name, params.methods[name])
    settings = params.backbones[backbone_name]
    device = choose_device(params.device, threads=1)  # each worker has one
    folder = Paths().backbone(backbone_name)
    backbone = load_backbone(backbone_name, settings.kind, folder, device, dtype=settings.dtype)
    train_method(params, name, method, backbone, Paths())


if __name__ == "__main__":
    sys.exit(run_stage(train, ["--method", "--backbone"]))
