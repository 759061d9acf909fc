"""What a device makes of every method: whether it trains and answers, in company as alone, as the CPU does, and twice
the same. In float64 what differs by more than rounding is a mistake; what is to be the same twice is as real runs are.
"""

import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.check_gpu.small_world import Exercise, exercises, tiny_backbone
from softprompt.methods.base import TrainedMethod
from softprompt.training.member import Trained

STEPS = 7  # a round of AutoPrompt, whose rounds take 6 after a first step
LONGER = 13  # another run of more steps shows what a step by itself makes the host wait for
CLOSE = 1e-8  # of parts trained in company and alone, both on the device
NEAR = 1e-6  # of parts trained on the device and on the CPU, whose kernels add in other orders
TOO_LATE = "not reached in time"


@dataclass(frozen=True)
class Finding:
    """Of one method on one type of backbone and form of answers; what is None was not asked of it."""

    backbone: str
    method: str
    form: str
    error: str = ""
    apart_from_alone: float | None = None  # largest difference of a trained number
    apart_from_cpu: float | None = None
    same_twice: bool | None = None
    waits_a_step: float | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing went wrong. That a step waits is told, and no mistake."""
        apart = (self.apart_from_alone or 0.0) <= CLOSE and (self.apart_from_cpu or 0.0) <= NEAR
        return not self.error and apart and self.same_twice is not False


@dataclass(frozen=True)
class Machines:
    """One untrained backbone on the device, in float64 and as real ones are, and on the CPU."""

    exact: Backbone
    real: Backbone
    on_cpu: Backbone

    @classmethod
    def of(cls, model_type: str, prepared: Path, device: torch.device) -> "Machines":
        exact, real = (tiny_backbone(model_type, prepared, device) for _ in range(2))
        on_cpu = tiny_backbone(model_type, prepared, torch.device("cpu"))
        return cls(exact, real.with_model(real.model.float()), on_cpu)


def findings(
    names: Sequence[str],
    types: Sequence[str],
    sections: Mapping[str, dict[str, Any]],
    prepared: Path,
    device: torch.device,
    until: float,
) -> Iterator[Finding]:
    """Of all that these methods can do on these types; `until` is when the clock of `time.monotonic` has run out."""
    for model_type in types:
        machines = Machines.of(model_type, prepared, device)
        for name in names:
            if time.monotonic() > until:
                yield Finding(model_type, name, "", TOO_LATE)
                continue
            tried = zip(*(exercises(name, sections, one, prepared) for one in vars(machines).values()), strict=True)
            for number, ((form, exact), (_, real), (_, on_cpu)) in enumerate(tried):
                yield _finding(Finding(model_type, name, form), exact, real, on_cpu, thorough=number == 0)


def _finding(nothing: Finding, exact: Exercise, real: Exercise, on_cpu: Exercise, *, thorough: bool) -> Finding:
    """All comparisons for the first form of a method; of the others whether they train and answer."""
    try:
        if not isinstance(real.method, TrainedMethod):
            real.answer(real.untrained())
            return nothing
        trained, waits = _counting_waits(real, STEPS)
        real.answer([one.saved for one in trained])
        if not thorough:
            return nothing
        longer = _counting_waits(real, LONGER)[1]
        together = exact.train(STEPS)
        return replace(
            nothing,
            apart_from_alone=_apart(together, _alone(exact)),
            apart_from_cpu=_apart(together, on_cpu.train(STEPS)),
            same_twice=_apart(trained, real.train(STEPS)) == 0.0,
            waits_a_step=(longer - waits) / (LONGER - STEPS),
        )
    except Exception as error:  # whatever a device stumbles over: all else is still to be tried
        return replace(nothing, error=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


def _alone(exercise: Exercise) -> list[Trained]:
    """Each member without the others, but for those of its group."""
    groups = dict.fromkeys(job.group or job.key for job in exercise.jobs)
    own = {group: [job for job in exercise.jobs if (job.group or job.key) == group] for group in groups}
    found = {job.key: one for jobs in own.values() for job, one in zip(jobs, exercise.train(STEPS, jobs), strict=True)}
    return [found[job.key] for job in exercise.jobs]


def _apart(first: Sequence[Trained], second: Sequence[Trained]) -> float:
    """The largest difference between two trained numbers. Raises ValueError where one has none, or other ones."""
    return max(_difference(one.saved, other.saved) for one, other in zip(first, second, strict=True))


def _difference(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    if not first or {name: one.shape for name, one in first.items()} != {n: one.shape for n, one in second.items()}:
        raise ValueError(f"one kept {', '.join(first) or 'nothing'}, the other {', '.join(second) or 'nothing'}")
    pairs = [(one.cpu().double(), second[name].cpu().double()) for name, one in first.items()]
    apart = max(float((one - other).abs().max()) for one, other in pairs)
    if not math.isfinite(apart):
        raise ValueError("what it trained is no number")
    return apart


def _counting_waits(exercise: Exercise, steps: int) -> tuple[list[Trained], int]:
    """A fleet trained, and how often the host waited for a CUDA device."""
    watched = next(iter(exercise.data.values())).backbone.device.type == "cuda"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if watched:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            trained = exercise.train(steps)
        finally:
            if watched:
                torch.cuda.set_sync_debug_mode("default")
    return trained, sum("synchronizing" in str(one.message) for one in told)
