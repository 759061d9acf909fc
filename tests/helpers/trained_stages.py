"""A train stage that is small but all there, its models and data on disk, and what is compared of two of its runs."""

import re
from pathlib import Path
from typing import Any

from helpers.backbones import WORLD, tiny_backbone
from helpers.profiles import fixture_params
from softprompt.backbones.loading import load_configured
from softprompt.config import Budget, Execution, Params, SuiteSettings, Tuning
from softprompt.data.prepare import prepare_suite
from softprompt.experiments.train import train_method
from softprompt.methods import build_method
from softprompt.paths import Paths
from softprompt.results import TrainResult

BACKBONE = "tiny_bert"
BUDGET = Budget(trials=4, steps=4, batch_size=4, eval_every=2, patience=3)
SPENT = re.compile(rb'"(train_seconds|peak_memory_bytes)": ?[0-9.e+-]+|(?<=\n) "sha256": "[0-9a-f]+"')


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_spent(files: dict[str, bytes]) -> dict[str, bytes]:
    """Seconds and memory differ from run to run: those of the journal's records, and a table of them."""
    return {name: SPENT.sub(b"", content) for name, content in files.items() if not name.startswith("timings/")}


def make_inputs(folder: Path, world: Path) -> None:
    """data/prepared of FewGLUE's RTE, and an untrained model that knows the words of a prepared world."""
    paths = Paths(folder)
    prepare_suite("fewglue", SuiteSettings(source="embedded", tasks=("rte",), test_limit=10), WORLD, paths)
    backbone = tiny_backbone("bert", world)
    backbone.model.float().save_pretrained(paths.backbone(BACKBONE))
    backbone.tokenizer.save_pretrained(paths.backbone(BACKBONE))


def stage_params(**execution: Any) -> Params:
    """Two studies of two batches, a member a fleet: eight fleets."""
    params = fixture_params()
    return params.model_copy(
        update={
            "run": params.run.model_copy(update={"suites": ("fewglue",), "backbones": (BACKBONE,)}),
            "budgets": {params.budget: BUDGET},
            "tuning": Tuning(batch=2),
            "seeds": (0, 1),
            "device": params.device.model_copy(update={"type": "cpu", "workers": 2, "fleet_members": 1}),
            "execution": Execution(**execution),
        }
    )


def run_stage(method: str, params: Params, inputs: Path, folder: Path) -> TrainResult:
    """In a folder of its own, with models and data of another."""
    folder.mkdir(exist_ok=True)
    for name in ("data", "models"):
        if not (folder / name).exists():
            (folder / name).symlink_to(inputs / name)
    paths = Paths(folder)
    backbone = load_configured(params, BACKBONE, paths, threads=1)
    return train_method(params, method, build_method(method, params.methods[method]), backbone, paths)
