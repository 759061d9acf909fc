"""Members built and trained: the root of all code, beside a method's own, that a trained number hangs on."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import nn

from softprompt.config import Budget
from softprompt.experiments.measured import Spent, measured
from softprompt.inputs.label_space import dev_score
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import TrainedMethod, fresh_shared, fresh_trainable
from softprompt.training.loop import FleetWork
from softprompt.training.member import Member, Trained

if TYPE_CHECKING:  # how fleets are planned is not what a member depends on
    from softprompt.experiments.jobs import Job

logger = logging.getLogger(__name__)


Outcome = tuple[list[Member], list[Trained], Spent]


def train_members(
    method: TrainedMethod, data: Mapping[str, TaskData], jobs: Sequence["Job"], budget: Budget, inference_tokens: int
) -> Outcome:
    """The members of one fleet, what became of each, and what all took; in two fleets, one after the other, where
    device memory has no room for all. `data` maps suite/task to training sides."""
    try:
        return _train_together(method, data, jobs, budget, inference_tokens)
    except torch.OutOfMemoryError:
        groups = list(_groups(jobs).values())
        if len(groups) < 2:
            raise
    # only behind the `except` what failed is let go, and with it all that it had allocated
    logger.warning("device memory has no room for a fleet of %d members: trained in halves", len(jobs))
    some, others = (
        train_members(method, data, list(chain.from_iterable(half)), budget, inference_tokens)
        for half in (groups[: len(groups) // 2], groups[len(groups) // 2 :])
    )
    return some[0] + others[0], some[1] + others[1], some[2] + others[2]


def _train_together(
    method: TrainedMethod, data: Mapping[str, TaskData], jobs: Sequence["Job"], budget: Budget, inference_tokens: int
) -> Outcome:
    members = build_members(method, data, jobs)
    backbone = members[0].trainable.applied_to(data[jobs[0].task].backbone)
    chosen = method.with_settings(jobs[0].settings)
    own_data = [data[job.task] for job in jobs]
    with measured(backbone.device) as spent:
        trained = chosen.train(FleetWork(backbone, members, budget, chosen.settings.recipe, inference_tokens, own_data))
    return members, trained, spent


def build_members(method: TrainedMethod, data: Mapping[str, TaskData], jobs: Sequence["Job"]) -> list[Member]:
    """Fresh members for jobs; those of a group hold what they share in common."""
    shared = {name: _shared_by(method, data, group) for name, group in _groups(jobs).items()}
    return [
        _member(method.with_settings(job.settings), data[job.task], job, shared[job.group or job.key]) for job in jobs
    ]


def _groups(jobs: Sequence["Job"]) -> dict[str, list["Job"]]:
    """By name; those of a group follow each other. A job without one is a group of its own."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group or job.key, []).append(job)
    return groups


def _member(method: TrainedMethod, data: TaskData, job: "Job", shared: nn.Parameter | None) -> Member:
    template = method.templates(data.task, data.backbone.kind)[0]
    settings = method.settings
    length = settings.prompt_length or 0
    return Member(
        identity=job.identity,
        space=data.label_space.outputs.trained_over(method.loss_over),
        learning_rate=settings.learning_rate,
        backbone_learning_rate=settings.backbone_learning_rate,
        train=data.split("train", template, length),
        dev=data.split("dev", template, length),
        dev_score=partial(dev_score, data.task, data.label_space, data.dev),
        trainable=fresh_trainable(method, data.task, data.backbone, length, job.identity, shared=shared),
        loss_weight=method.loss_weight(data.task),
        group=job.group,
    )


def _shared_by(method: TrainedMethod, data: Mapping[str, TaskData], jobs: Sequence["Job"]) -> nn.Parameter | None:
    """Drawn from the stream of the member that is first by name, whatever the order in the fleet."""
    job = min(jobs, key=lambda one: one.identity)
    chosen, own = method.with_settings(job.settings), data[job.task]
    return fresh_shared(chosen, own.task, own.backbone, chosen.settings.prompt_length or 0, job.identity)
