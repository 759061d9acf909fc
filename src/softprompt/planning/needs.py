"""What each backbone and suite of a run needs: memory, disk, seconds, and what is not on this machine yet."""

from dataclasses import dataclass
from pathlib import Path

from softprompt.backbones.size import ModelSize
from softprompt.backbones.snapshots import cached_snapshot, weights_in
from softprompt.config import BackboneSettings, Params
from softprompt.data.manifest import MANIFEST
from softprompt.paths import Paths
from softprompt.planning.machine import Machine
from softprompt.planning.memory import MemoryNeeds, memory_needs, tokens_of
from softprompt.planning.sizes import STORED_BYTES, model_size
from softprompt.planning.work import StageWork, Work

DATA_BYTES = {
    "lama": 100e6,
    "superglue": 120e6,
    "fewglue": 40e6,
    "glue": 100e6,
    "extra": 1e6,
}  # raw and prepared, roughly
COPIES = {"hub": 3, "local": 2, "pretrain": 2}  # hub's cache, models/, DVC's cache


@dataclass(frozen=True)
class BackboneNeeds:
    """What one backbone takes. `size` and `memory` are None where a local folder is not there."""

    name: str
    settings: BackboneSettings
    size: ModelSize | None
    stages: tuple[StageWork, ...]  # without those that the machine has no memory for
    memory: MemoryNeeds | None
    tuned: bool  # whether a method of the run is to tune it
    disk_bytes: float  # of the weights in all their copies
    kept_bytes: float  # of what the cells of tuned methods keep
    seconds: float
    missing: str


def backbone_needs(name: str, params: Params, work: Work, machine: Machine, paths: Paths) -> BackboneNeeds:
    """From formulas alone; nothing is loaded."""
    settings = params.backbones[name]
    size = model_size(settings)
    stages = tuple(stage for stage in work.train if stage.backbone == name)
    missing = missing_backbone(settings, paths.backbone(name))
    if size is None:
        return BackboneNeeds(name, settings, None, stages, None, False, 0.0, 0.0, 0.0, missing)
    memory = memory_needs(name, size, params, work, machine)
    tuned = any(stage.state == "tuned" for stage in stages)
    if not memory.tunable:
        stages = tuple(stage for stage in stages if stage.state == "frozen")
    kept = sum(stage.cells for stage in stages if stage.state == "tuned")
    return BackboneNeeds(
        name=name,
        settings=settings,
        size=size,
        stages=stages,
        memory=memory,
        tuned=tuned,
        disk_bytes=size.parameters * STORED_BYTES * COPIES[settings.source],
        kept_bytes=kept * size.parameters * STORED_BYTES * 2,  # and DVC's cache
        seconds=_flops(settings, size, stages, params) / machine.flops,
        missing=missing,
    )


def _flops(settings: BackboneSettings, size: ModelSize, stages: tuple[StageWork, ...], params: Params) -> float:
    """Of pretraining and of all steps of all members; evaluation on dev and test comes on top."""
    total = 0.0
    if settings.pretraining is not None:
        pretraining = settings.pretraining
        rows = pretraining.batch_size
        total += pretraining.steps * size.step_flops(rows, pretraining.row_tokens, tuned=True)
    for stage in stages:
        for suite, members in stage.members.items():
            rows, tokens = params.chosen_budget.batch_size, tokens_of(suite, params)
            total += members * stage.steps * size.step_flops(rows, tokens, tuned=stage.state == "tuned")
    return total


def missing_backbone(settings: BackboneSettings, made: Path) -> str:
    """What has to come from elsewhere before the backbone can be made, or nothing."""
    if (made / "config.json").is_file() or settings.source == "pretrain":
        return ""
    if settings.source == "local":
        folder = Path(settings.path)
        return "" if (folder / "config.json").is_file() and weights_in(folder, settings) else f"no model in {folder}"
    return "" if cached_snapshot(settings) else f"to be fetched: {settings.repo} at {settings.revision[:12]}"


def missing_data(suite: str, params: Params, paths: Paths) -> str:
    """What has to come from elsewhere before the suite can be prepared, or nothing."""
    settings = params.suites[suite]  # type: ignore[index]
    if settings.source == "embedded" or (paths.suite(suite) / MANIFEST).is_file():
        return ""
    if settings.source == "local":
        folder = Path(settings.path) / suite
        return "" if folder.is_dir() else f"no folder {folder}"
    return f"to be fetched from its {settings.source} source"
