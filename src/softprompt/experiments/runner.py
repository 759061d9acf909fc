"""From jobs to finished fleets: build the members, train those that are missing, keep what they leave."""

from collections.abc import Mapping, Sequence
from functools import partial

from torch import nn

from softprompt.config import Budget, Device
from softprompt.experiments.jobs import Job, fleet_key, plan_fleets
from softprompt.experiments.store import FleetRecord, FleetStore, MemberRecord
from softprompt.experiments.workers import map_unordered
from softprompt.inputs.label_space import dev_score
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import TrainedMethod, fresh_shared, fresh_trainable
from softprompt.progress import Progress
from softprompt.results import Cost
from softprompt.training.loop import FleetCost, FleetWork
from softprompt.training.member import Member, Trained


class FleetRunner:
    """Trains jobs of one (method, backbone). `data` maps suite/task to its training side."""

    def __init__(
        self, method: TrainedMethod, data: Mapping[str, TaskData], budget: Budget, device: Device, store: FleetStore
    ) -> None:
        self.method = method
        self.data = data
        self.budget = budget
        self.device = device
        self.store = store

    def run(self, jobs: Sequence[Job], progress: Progress, *, keep: bool) -> None:
        """Train whatever of the planned fleets is missing. `keep` stores what prediction needs."""
        width = 1 if self.method.state == "tuned" else self.device.fleet_members
        planned = plan_fleets(jobs, width)
        missing = [[job for job in fleet if job.key not in self.store] for fleet in planned]
        progress.advance(sum(map(len, planned)) - sum(map(len, missing)), "found finished")
        to_train = [fleet for fleet in missing if fleet]
        for fleet, record in map_unordered(partial(self._train, keep=keep), to_train, self.device.workers):
            self.store.remember(record)
            scores = [member.dev_score for member in record.members if member.dev_score is not None]
            progress.advance(len(fleet), f"best dev of this fleet {max(scores):.3f}" if scores else "fleet failed")

    def _train(self, jobs: Sequence[Job], *, keep: bool) -> FleetRecord:
        """Train one fleet and put it on disk."""
        members = self.build_members(jobs)
        backbone = members[0].trainable.applied_to(self.data[jobs[0].task].backbone)
        data = [self.data[job.task] for job in jobs]
        recipe = self.method.settings.recipe
        work = FleetWork(backbone, members, self.budget, recipe, self.device.inference_tokens, data)
        trained, cost = self.method.train(work)
        if keep:
            for job, outcome in zip(jobs, trained, strict=True):
                self.store.save_parts(job.key, outcome.saved)
        key = fleet_key(jobs)
        records = [
            _record(key, job, member, outcome, cost)
            for job, member, outcome in zip(jobs, members, trained, strict=True)
        ]
        fleet = FleetRecord(key=key, members=records)
        self.store.finish(fleet)
        return fleet

    def build_members(self, jobs: Sequence[Job]) -> list[Member]:
        """Fresh members for jobs; those of a group hold what they share in common."""
        groups: dict[str, list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.group or job.key, []).append(job)
        shared = {name: self._shared_by(group) for name, group in groups.items()}
        return [self.build_member(job, shared[job.group or job.key]) for job in jobs]

    def build_member(self, job: Job, shared: nn.Parameter | None = None) -> Member:
        """A fresh member for a job."""
        data = self.data[job.task]
        template = self.method.templates(data.task, data.backbone.kind)[0]
        return Member(
            identity=job.identity,
            space=data.answers.space,
            learning_rate=job.learning_rate,
            train=data.split("train", template, job.prompt_length),
            dev=data.split("dev", template, job.prompt_length),
            dev_score=partial(dev_score, data.task, data.answers, data.dev),
            trainable=fresh_trainable(
                self.method, data.task, data.backbone, job.prompt_length, job.identity, shared=shared
            ),
            group=job.group,
        )

    def _shared_by(self, jobs: Sequence[Job]) -> nn.Parameter | None:
        """Drawn from the stream of the member that is first by name, whatever the order in the fleet."""
        job = min(jobs, key=lambda one: one.identity)
        data = self.data[job.task]
        return fresh_shared(self.method, data.task, data.backbone, job.prompt_length, job.identity)


def _record(fleet: str, job: Job, member: Member, trained: Trained, cost: FleetCost) -> MemberRecord:
    return MemberRecord(
        key=job.key,
        fleet=fleet,
        dev_score=trained.dev_score if trained.saved else None,
        best_step=trained.best_step,
        failure=trained.failure,
        curve=trained.curve,
        parameters_trained=member.trainable.trained_numbers,
        parameters_kept=sum(tensor.numel() for tensor in trained.saved.values()),
        positions=member.trainable.positions,
        cost=Cost(
            train_seconds=cost.seconds * trained.steps / cost.member_steps,
            member_steps_per_second=cost.member_steps / cost.seconds,
            peak_memory_bytes=cost.peak_memory_bytes,
        ),
    )
