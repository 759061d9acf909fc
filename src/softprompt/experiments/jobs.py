"""What there is to train, before anything is built: jobs, their content keys, and their fleets."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, pairwise
from typing import Any

from softprompt.results import Setting

OF_A_MEMBER = ("learning_rate", "backbone_learning_rate", "prompt_length")  # may differ within a fleet


@dataclass(frozen=True)
class Job:
    """One member to be: of a trial, and where that is the best of its replicate, of a cell."""

    key: str  # content key: equal keys mean equal results
    identity: str  # names its random streams; all trials of a task share one, so that they differ by their setting only
    task: str  # suite/task
    seed: int
    settings: Mapping[str, Setting]  # what its trial chose, sorted by name
    tokens: int  # longest row of its train split, prompt included
    reading: str  # how answers are read; those of one fleet are read alike, but for groups
    group: str = ""  # jobs of one group share parameters and so a fleet

    @property
    def fleet_kind(self) -> tuple[str, str]:
        """What all members of a fleet have in common: settings of the method as a whole, and how they are read, in
        which the jobs of a group may differ."""
        return "" if self.group else self.reading, common_settings(self.settings)


def common_settings(settings: Mapping[str, Setting]) -> str:
    """Those that the members of a fleet must agree in, as text."""
    return json.dumps({name: settings[name] for name in sorted(settings) if name not in OF_A_MEMBER})


def content_key(parts: dict[str, Any]) -> str:
    """A name for a result that changes when anything it depends on does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def fleet_key(jobs: Sequence[Job]) -> str:
    """The key of a fleet, fixed by its members and their order."""
    return content_key({"members": [asdict(job) for job in jobs]})


def plan_fleets(jobs: Sequence[Job], width: Callable[[Job], int]) -> list[list[Job]]:
    """All jobs in fleets of at most as many members as the `width` of each allows and of about the same size, rows of
    like length together, longest first. Jobs of different kinds never share a fleet, and a group of jobs never stands
    in two.

    Planned from everything that a stage has to do, never from what happens to be missing, because the shape of a batch
    decides how floats round.
    """
    unique = list({job.key: job for job in jobs}.values())
    ordered = sorted(unique, key=lambda job: (job.fleet_kind, width(job), -job.tokens))
    alike = [list(group) for _, group in groupby(ordered, key=lambda job: (job.fleet_kind, width(job)))]
    return [fleet for some in alike for fleet in (_packed if some[0].group else _even)(some, width(some[0]))]


def _even(jobs: list[Job], members: int) -> list[list[Job]]:
    fleets = -(-len(jobs) // members)
    borders = [len(jobs) * fleet // fleets for fleet in range(fleets + 1)]
    return [jobs[start:end] for start, end in pairwise(borders)]


def _packed(jobs: list[Job], members: int) -> list[list[Job]]:
    """Whole groups only, as many in a fleet as fit; a group that is larger than a fleet is one all the same."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    fleets: list[list[Job]] = []
    for group in groups.values():
        if fleets and len(fleets[-1]) + len(group) <= members:
            fleets[-1] += group
        else:
            fleets.append(group)
    return fleets
