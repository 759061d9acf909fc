"""untrained@BACKBONE: the cells of all methods that train nothing, written to results/train/BACKBONE/untrained."""

import argparse
import sys
from typing import TYPE_CHECKING

from softprompt.paths import Paths
from softprompt.stage import run_stage

if TYPE_CHECKING:
    from softprompt.config import Params


def untrained(params: "Params", arguments: argparse.Namespace) -> None:
    from softprompt.backbones.loading import load_configured
    from softprompt.experiments.train import train_method
    from softprompt.methods import build_method

    paths = Paths()
    for out in (paths.train("untrained", arguments.backbone), paths.timings("untrained", arguments.backbone)):
        out.with_suffix("").mkdir(parents=True, exist_ok=True)  # an out, even where it is empty
    backbone = load_configured(params, arguments.backbone, paths, threads=params.device.workers)
    for name in params.run.untrained:
        train_method(params, name, build_method(name, params.methods[name]), backbone, paths)


if __name__ == "__main__":
    sys.exit(run_stage(untrained, ["--backbone"]))
