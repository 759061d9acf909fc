"""backbone@NAME: pretrain a backbone, or copy a local one, to models/NAME."""

import argparse
import sys
from typing import TYPE_CHECKING

from softprompt.paths import Paths
from softprompt.stage import run_stage

if TYPE_CHECKING:
    from softprompt.config import Params


def backbone(params: "Params", arguments: argparse.Namespace) -> None:
    from softprompt.backbones.loading import load_configured
    from softprompt.backbones.make import make_backbone

    name, paths = arguments.backbone, Paths()
    make_backbone(name, params.backbones[name], paths, params.device)
    load_configured(params, name, paths, threads=1)  # what cannot be loaded is refused here


if __name__ == "__main__":
    sys.exit(run_stage(backbone, ["--backbone"], offline=False))
