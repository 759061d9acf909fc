"""How long training takes on so many GPUs: the fleets of a stage side by side, its rounds and the stages in turn."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from softprompt.backbones.memory import GIB
from softprompt.backbones.size import ModelSize, frozen_bytes, tuned_bytes
from softprompt.config import Params
from softprompt.errors import UserError
from softprompt.planning.machine import ASSUMED_FLOPS, Machine
from softprompt.planning.memory import tokens_of
from softprompt.planning.page import columns, duration
from softprompt.planning.sizes import dtype_bytes, model_size
from softprompt.planning.work import StageWork, Work

ASSUMED_GPU = Machine("cuda", "a GPU of 80 GiB", 80.0 * GIB, 1, ASSUMED_FLOPS["cuda"], "assumed")


@dataclass(frozen=True)
class ClusterTime:
    """Of all train stages. `gpu_seconds` are those in which a GPU trains."""

    gpus: int
    seconds: float
    gpu_seconds: float

    @property
    def busy_share(self) -> float:
        """Of the GPUs, while the run lasts."""
        return self.gpu_seconds / (self.gpus * self.seconds)


def render_clusters(params: Params, work: Work, counts: Sequence[int], machine: Machine) -> str:
    """A line a number of GPUs, each of them as this machine's, or assumed where it has none."""
    if min(counts) < 1:
        raise UserError(f"--gpus {min(counts)}: a plan is for one GPU or more")
    gpu = machine if machine.kind == "cuda" else ASSUMED_GPU
    times = [cluster_time(params, work, count, gpu) for count in counts]
    rows = [[f"{one.gpus}", duration(one.seconds), f"{100 * one.busy_share:.0f} %"] for one in times]
    return "\n".join(
        [
            *columns(["GPUs", "time", "busy"], rows, right=(0, 1, 2)),
            f"each {gpu.name}, at {gpu.flops:.1e} operations/s ({gpu.basis}); of training at most, without early "
            "stopping; evaluation, loading and the stages that do not train come on top",
        ]
    )


def cluster_time(params: Params, work: Work, gpus: int, gpu: Machine) -> ClusterTime:
    """Nothing is counted of what one GPU has no memory for."""
    seconds = gpu_seconds = 0.0
    for stage in work.train:
        size = model_size(params.backbones[stage.backbone])
        if size is None or not stage.trained or not _fits(stage, size, params, gpu):
            continue
        for fleets, times in _rounds(stage, params, size, gpu.flops):
            seconds += times * side_by_side(fleets, gpus)
            gpu_seconds += times * sum(fleets)
    return ClusterTime(gpus, seconds, gpu_seconds)


def side_by_side(fleets: Sequence[float], gpus: int) -> float:
    """Seconds until the last of them is done, where a GPU that gets free takes the longest that waits."""
    free_at = [0.0] * gpus
    for fleet in sorted(fleets, reverse=True):
        heapq.heapreplace(free_at, free_at[0] + fleet)
    return max(free_at)


def _fits(stage: StageWork, size: ModelSize, params: Params, gpu: Machine) -> bool:
    """Its weights, that is, and what trains beside them."""
    weights = tuned_bytes if stage.state == "tuned" else frozen_bytes
    return weights(size.parameters, dtype_bytes(params.backbones[stage.backbone]), gpu.kind) <= gpu.memory_bytes


def _rounds(stage: StageWork, params: Params, size: ModelSize, flops: float) -> Iterator[tuple[list[float], int]]:
    """Seconds of the fleets that are trained before the next trials are asked for, and how often there is a round of
    these."""
    trials, seeds = params.chosen_budget.trials, len(params.seeds)
    rounds = -(-trials // params.tuning.batch)
    if params.tuning.scheme == "replicate":
        yield _fleets(stage, params, size, flops, 1 / rounds), rounds
    else:
        yield _fleets(stage, params, size, flops, trials / (trials + seeds) / rounds), rounds
        yield _fleets(stage, params, size, flops, seeds / (trials + seeds)), 1


def _fleets(stage: StageWork, params: Params, size: ModelSize, flops: float, share: float) -> list[float]:
    """Seconds of each fleet of a share of the stage's members. Tasks of a suite share fleets."""
    width, tuned = (1, True) if stage.state == "tuned" else (params.device.fleet_members, False)
    found = []
    for suite, members in stage.members.items():
        step = size.step_flops(params.chosen_budget.batch_size, tokens_of(suite, params), tuned=tuned) / flops
        fleets = max(1, round(-(-members * share // width)))
        found += [members * share / fleets * stage.steps * step] * fleets
    return found
