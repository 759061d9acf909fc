"""From jobs to finished fleets: train those that are missing, keep what they leave."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from softprompt.config import Budget, Device
from softprompt.experiments.jobs import Job, fleet_key, plan_fleets
from softprompt.experiments.measured import Spent
from softprompt.experiments.members import train_members
from softprompt.experiments.store import FleetRecord, FleetStore, MemberRecord
from softprompt.experiments.workers import map_unordered
from softprompt.finite import not_finite
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import TrainedMethod
from softprompt.progress import Progress
from softprompt.results import Cost
from softprompt.training.member import Member, Trained


class FleetRunner:
    """Trains jobs of one (method, backbone). `data` maps suite/task to its training side, `width` a job to the most
    members that its fleet may have."""

    def __init__(
        self,
        method: TrainedMethod,
        data: Mapping[str, TaskData],
        budget: Budget,
        device: Device,
        store: FleetStore,
        width: Callable[[Job], int],
    ) -> None:
        self.method = method
        self.data = data
        self.budget = budget
        self.device = device
        self.store = store
        self.width = width

    def run(self, jobs: Sequence[Job], progress: Progress, *, keep: bool) -> None:
        """Train whatever of the planned fleets is missing. `keep` stores what prediction needs."""
        planned = plan_fleets(jobs, self.width)
        missing = [[job for job in fleet if job.key not in self.store] for fleet in planned]
        progress.advance(sum(map(len, planned)) - sum(map(len, missing)), "found finished")
        to_train = [fleet for fleet in missing if fleet]
        for fleet, record in map_unordered(partial(self._train, keep=keep), to_train, self.device.workers):
            self.store.remember(record)
            scores = [member.dev_score for member in record.members if member.dev_score is not None]
            progress.advance(len(fleet), f"best dev of this fleet {max(scores):.3f}" if scores else "fleet failed")

    def _train(self, jobs: Sequence[Job], *, keep: bool) -> FleetRecord:
        """Train one fleet and put it on disk."""
        members, trained, spent = train_members(self.method, self.data, jobs, self.budget, self.device.inference_tokens)
        trained = [_refusing_broken(outcome) for outcome in trained]
        kept = [outcome.saved if keep else {} for outcome in trained]
        digests = [self.store.parts.save(job.key, saved) for job, saved in zip(jobs, kept, strict=True)]
        key = fleet_key(jobs)
        costs = shares(spent, trained)
        records = [_record(key, *one) for one in zip(jobs, members, trained, digests, costs, strict=True)]
        fleet = FleetRecord(key=key, members=records)
        self.store.finish(fleet)
        return fleet


def _refusing_broken(trained: Trained) -> Trained:
    """The outcome, failed where some number of its parts is none, though dev did not show it."""
    broken = not_finite(trained.saved.items())
    return replace(trained, saved={}, failure=f"its trained {broken} is not finite") if broken else trained


def _record(fleet: str, job: Job, member: Member, trained: Trained, digest: str, cost: Cost) -> MemberRecord:
    return MemberRecord(
        key=job.key,
        fleet=fleet,
        dev_score=trained.dev_score if trained.saved else None,
        best_step=trained.best_step,
        failure=trained.failure,
        curve=trained.curve,
        parameters_trained=member.trainable.trained_numbers,
        parameters_kept=sum(tensor.numel() for tensor in trained.saved.values()),
        parts_sha256=digest,
        positions=member.trainable.positions,
        cost=cost,
    )


def shares(spent: Spent, trained: Sequence[Trained]) -> list[Cost]:
    """What each member of a fleet cost: its own counts, its share of the seconds by the rows that it passed forward,
    and the memory of all."""
    forward = sum(one.rows.forward for one in trained)
    return [
        Cost(
            steps=one.steps,
            rows_forward=one.rows.forward,
            rows_backward=one.rows.backward,
            rows_inference=one.rows.inference,
            train_seconds=spent.seconds * one.rows.forward / forward,
            peak_memory_bytes=spent.peak_memory_bytes,
        )
        for one in trained
    ]
