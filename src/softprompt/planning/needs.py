"""What each backbone and suite of a run needs: memory, disk, seconds, and what is not on this machine yet."""

from dataclasses import dataclass
from pathlib import Path

from softprompt.backbones.snapshots import cached_snapshot, weights_in
from softprompt.config import BackboneSettings, Params
from softprompt.data.manifest import MANIFEST
from softprompt.paths import Paths
from softprompt.planning.machine import Machine
from softprompt.planning.sizes import STORED_BYTES, ModelSize, dtype_bytes, model_size
from softprompt.planning.work import StageWork, Work
from softprompt.tasks.load import LAMA

LAMA_TOKENS = 24  # a fact with its prompt; other inputs are taken to fill max_tokens
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
    """What one backbone takes. Sizes are None where a local folder is not there to be measured."""

    name: str
    settings: BackboneSettings
    size: ModelSize | None
    stages: tuple[StageWork, ...]  # without those that the machine has no memory for
    frozen_bytes: float
    tuned_bytes: float  # 0 where no method tunes it
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
        return BackboneNeeds(name, settings, None, stages, 0.0, 0.0, 0.0, 0.0, 0.0, missing)
    tokens = max((tokens_of(suite, params) for suite in params.suites_of(name)), default=0)
    rows, width = params.chosen_budget.batch_size, dtype_bytes(settings)
    fleet = rows * params.device.fleet_members * machine.processes
    tuned = [stage for stage in stages if stage.state == "tuned"]
    to_tune = size.tuned_bytes(width, rows, tokens, machine.kind) * machine.processes if tuned else 0.0
    if to_tune > machine.memory_bytes:
        stages = tuple(stage for stage in stages if stage.state == "frozen")
        tuned = []
    kept_bytes = sum(stage.cells for stage in tuned) * size.parameters * STORED_BYTES * 2  # and DVC's cache
    return BackboneNeeds(
        name=name,
        settings=settings,
        size=size,
        stages=stages,
        frozen_bytes=size.frozen_bytes(width, fleet, tokens, machine.kind),
        tuned_bytes=to_tune,
        disk_bytes=size.parameters * STORED_BYTES * COPIES[settings.source],
        kept_bytes=kept_bytes,
        seconds=_flops(settings, size, stages, params) / machine.flops,
        missing=missing,
    )


def tokens_of(suite: str, params: Params) -> int:
    """Tokens of a row, prompt included: an upper bound but for LAMA."""
    return min(LAMA_TOKENS, params.max_tokens) if suite == LAMA else params.max_tokens


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
