"""From jobs to finished fleets: have those trained that are missing, keep what they leave."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from softprompt.experiments.jobs import Job, plan_fleets
from softprompt.experiments.store import FleetStore
from softprompt.progress import Progress

if TYPE_CHECKING:  # who trains is nothing that a number depends on
    from softprompt.experiments.executors import Executor


class FleetRunner:
    """Has the jobs of one (method, backbone) trained in fleets. `width` maps a job to the most members that its fleet
    may have. Nobody else writes to the store."""

    def __init__(self, executor: "Executor", store: FleetStore, width: Callable[[Job], int]) -> None:
        self.executor = executor
        self.store = store
        self.width = width

    def run(self, jobs: Sequence[Job], progress: Progress, *, keep: bool) -> None:
        """Train whatever of the planned fleets is missing. `keep` stores what prediction needs."""
        planned = plan_fleets(jobs, self.width)
        missing = [[job for job in fleet if job.key not in self.store] for fleet in planned]
        progress.advance(sum(map(len, planned)) - sum(map(len, missing)), "found finished")
        for trained in self.executor.train([fleet for fleet in missing if fleet], keep=keep):
            self.store.finish(trained.record, trained.parts)
            members = trained.record.members
            scores = [member.dev_score for member in members if member.dev_score is not None]
            progress.advance(len(members), f"best dev of this fleet {max(scores):.3f}" if scores else "fleet failed")
