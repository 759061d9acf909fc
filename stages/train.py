"""train@METHOD-BACKBONE: tune on dev, train on fresh seeds, write results/train/BACKBONE/METHOD."""

import argparse
import sys
from typing import TYPE_CHECKING

from softprompt.paths import Paths
from softprompt.stage import run_stage

if TYPE_CHECKING:
    from softprompt.config import Params


def train(params: "Params", arguments: argparse.Namespace) -> None:
    from softprompt.backbones.loading import load_configured
    from softprompt.experiments.train import train_method
    from softprompt.methods import build_method

    name, paths = arguments.method, Paths()
    method = build_method(name, params.methods[name])
    backbone = load_configured(params, arguments.backbone, paths, threads=1)  # each worker has one
    train_method(params, name, method, backbone, paths)


if __name__ == "__main__":
    sys.exit(run_stage(train, ["--method", "--backbone"]))
