"""backbone@NAME: pretrain a backbone, or copy a local one, to models/NAME, and measure which facts a
pretrained one knows."""

import argparse
import sys

from softprompt.config import Params
from softprompt.paths import Paths
from softprompt.stage import run_stage


def backbone(params: Params, arguments: argparse.Namespace) -> None:
    from softprompt.backbones.loading import load_configured
    from softprompt.backbones.make import make_backbone
    from softprompt.evaluation.knowledge import write_knowledge

    name, paths = arguments.backbone, Paths()
    settings = params.backbones[name]
    make_backbone(name, settings, paths, params.device)
    backbone = load_configured(params, name, paths, threads=params.device.workers)
    if settings.source == "pretrain":
        write_knowledge(backbone, paths.suite("lama"), paths.pretraining(name), params.device.inference_tokens)


if __name__ == "__main__":
    sys.exit(run_stage(backbone, ["--backbone"], offline=False))
