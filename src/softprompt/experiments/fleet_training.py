"""One fleet, from its jobs to what is kept of it, in whichever process: nothing here reads or writes a file."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from softprompt.config import Budget, Device
from softprompt.experiments.jobs import Job, fleet_key
from softprompt.experiments.measured import Spent
from softprompt.experiments.members import train_members
from softprompt.experiments.saved_parts import packed
from softprompt.experiments.store import FleetRecord, MemberRecord
from softprompt.finite import not_finite
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import TrainedMethod
from softprompt.results import Cost
from softprompt.training.member import Member, Trained


@dataclass(frozen=True)
class TrainedFleet:
    """The record of a fleet, and by job the file of each member that keeps parts."""

    record: FleetRecord
    parts: Mapping[str, bytes]


@dataclass(frozen=True)
class FleetTrainer:
    """Trains fleets of one (method, backbone). `data` maps suite/task to its training side."""

    method: TrainedMethod
    data: Mapping[str, TaskData]
    budget: Budget
    device: Device

    def train(self, jobs: Sequence[Job], *, keep: bool) -> TrainedFleet:
        """The members of one fleet. `keep` says whether predictions will need them."""
        members, trained, spent = train_members(self.method, self.data, jobs, self.budget, self.device.inference_tokens)
        trained = [_refusing_broken(outcome) for outcome in trained]
        parts = {
            job.key: packed(outcome.saved) for job, outcome in zip(jobs, trained, strict=True) if keep and outcome.saved
        }
        key = fleet_key(jobs)
        digests = [hashlib.sha256(parts[job.key]).hexdigest() if job.key in parts else "" for job in jobs]
        costs = shares(spent, trained)
        records = [_record(key, *one) for one in zip(jobs, members, trained, digests, costs, strict=True)]
        return TrainedFleet(FleetRecord(key=key, members=records), parts)


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
