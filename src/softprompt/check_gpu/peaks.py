"""What fleets on base-sized bodies take of a device's memory, beside what is reckoned before they run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.size import frozen_bytes, size_of, tuned_bytes
from softprompt.check_gpu.small_world import BATCH, Exercise, exercises, untrained_backbone
from softprompt.config import Architecture
from softprompt.experiments.measured import measured

BASE = {"hidden_size": 768, "layers": 12, "heads": 12, "feed_forward_size": 3072, "positions": 512}
FLEETS = (("p_tuning", 4), ("p_tuning", 16), ("prefix_tuning", 16), ("fine_tuning", 1))  # methods and members
STEPS = 3
ROOM = 1.1  # times what is reckoned, for what no formula sees: a peak above that would run out of memory


@dataclass(frozen=True)
class Peak:
    """Of one fleet, its backbone included."""

    backbone: str
    method: str
    members: int
    reckoned_bytes: int
    peak_bytes: int

    @property
    def passed(self) -> bool:
        """Whether as much was reckoned as was taken."""
        return self.peak_bytes <= ROOM * self.reckoned_bytes


def peaks(
    types: tuple[str, ...], sections: Mapping[str, dict[str, Any]], prepared: Path, device: torch.device
) -> Iterator[Peak]:
    """Of fleets that train facts through bodies of these types."""
    for model_type in types:
        for name, members in FLEETS:
            yield _peak(Architecture(type=model_type, **BASE), name, members, sections, prepared, device)


def _peak(
    architecture: Architecture,
    name: str,
    members: int,
    sections: Mapping[str, dict[str, Any]],
    prepared: Path,
    device: torch.device,
) -> Peak:
    taken = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    backbone = untrained_backbone(architecture, prepared, device)
    _, one = next(exercises(name, sections, backbone, prepared))
    fleet = widened(one, members)
    with measured(device) as spent:
        fleet.train(STEPS)
    return Peak(architecture.type, name, members, reckoned_bytes(fleet, backbone), spent.peak_memory_bytes - taken)


def widened(exercise: Exercise, members: int) -> Exercise:
    """The same with so many members, each with draws of its own."""
    many = [exercise.jobs[number % len(exercise.jobs)] for number in range(members)]
    jobs = [replace(job, key=f"{number}", identity=f"member-{number}") for number, job in enumerate(many)]
    return replace(exercise, jobs=jobs)


def reckoned_bytes(fleet: Exercise, backbone: Backbone) -> int:
    """Weights, and what the rows of a step leave for the way back, as `softprompt plan` has them."""
    size, kind, numbers = size_of(backbone.model), backbone.device.type, backbone.model.dtype.itemsize
    assert size is not None
    weights = (tuned_bytes if fleet.method.state == "tuned" else frozen_bytes)(size.parameters, numbers, kind)
    return round(weights + BATCH * len(fleet.jobs) * size.training_bytes(fleet.longest(), 1, kind))
