"""A run to be: what it is of, and what it holds."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from softprompt.files import sha256_of_file

MEASURED = ("timings.", "seconds/", "memory_mib/")  # what such names begin with differs from run to run
ALL = "all"  # stands for a task: the mean over a suite's


@dataclass(frozen=True)
class Value:
    """One value of a metric. `step` is a training step, a seed or 0."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Dataset:
    """What a run was trained on or tested on."""

    name: str
    digest: str
    source: str  # folder below the project's root
    columns: tuple[str, ...]  # all hold text
    rows: int
    use: str  # such as `train and dev`


@dataclass(frozen=True)
class Run:
    """The name is unique within a profile and experiment. `places` says what the run is of, as params and as tags:
    params can be axes and columns, tags can be changed."""

    profile: str
    name: str
    places: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[Value] = field(default_factory=list)
    files: dict[str, Path | str] = field(default_factory=dict)  # name of the artifact -> file, or its text
    datasets: tuple[Dataset, ...] = ()
    description: str = ""  # Markdown
    source: str = "publish"  # the stage that made it
    parent: str = ""  # id of the run that it is part of
    failed: bool = False
    started: float = 0.0  # seconds since 1970, as `ended`; never part of the id, for the same work takes other times
    ended: float = 0.0

    @cached_property
    def id(self) -> str:
        """32 hex digits that change with anything that is published but with what is measured anew in every run."""
        files = {name: _digest(content) for name, content in self.files.items() if not name.startswith(MEASURED)}
        metrics = [(one.name, one.value, one.step) for one in self.metrics if not one.name.startswith(MEASURED)]
        datasets = [list(vars(dataset).values()) for dataset in self.datasets]
        texts = [self.profile, self.name, self.places, self.params, self.tags, self.description, self.source]
        content = [*texts, metrics, files, datasets, self.parent, self.failed]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _digest(content: Path | str) -> str:
    if isinstance(content, Path):
        return sha256_of_file(content)
    return hashlib.sha256(content.encode()).hexdigest()
