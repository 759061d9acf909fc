"""All of params.yaml, and its smaller sections."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, model_validator

from softprompt.config.backbones import BackboneSettings
from softprompt.config.names import EachOnce, Name, Names
from softprompt.config.suites import SuiteSettings, WorldSettings, refuse_misplaced
from softprompt.config.types import Frozen, Positive, Seed, Suite
from softprompt.errors import shown


class Budget(Frozen):
    """How much tuning and training every method gets."""

    trials: Annotated[int, Field(ge=2)]  # the best of one trial says nothing about tuning
    steps: Positive  # optimiser steps a member
    batch_size: Positive  # rows a member and step
    eval_every: Positive  # steps between evaluations on dev
    patience: Positive  # evaluations without a better dev score until a member stops
    dev_limit: Positive | None = None  # examples of dev that tuning sees, a seeded sample; null: all


class Tuning(Frozen):
    """How settings are tuned, and how Optuna proposes them.

    A `replicate` is the whole procedure: every seed has its own study, and its best trial is the result. `shared`, for
    expensive models, has one study on a seed of its own, whose best setting is trained on the reported seeds; their
    spread then leaves tuning out.
    """

    scheme: Literal["replicate", "shared"] = "replicate"
    sampler: Literal["tpe", "random", "qmc", "gp"] = "qmc"  # qmc fills the space in few trials, tpe needs many
    batch: Positive = 4  # trials proposed together, which become fleets
    seed: Seed | None = None  # of the one study of `shared`

    @model_validator(mode="after")
    def seed_belongs_to_shared(self) -> "Tuning":
        if self.scheme == "shared" and self.seed is None:
            raise ValueError("scheme: shared needs a seed of its own, such as seed: 1000")
        if self.scheme == "replicate" and self.seed is not None:
            raise ValueError(
                "seed belongs to scheme: shared; with scheme: replicate every seed has its study, remove it"
            )
        return self


class Device(Frozen):
    """Where and how wide training runs. Changes speed, never what is asked of a method.

    On a GPU members and tokens are upper ends: fewer where its memory has no room for them.
    """

    type: Literal["auto", "cpu", "cuda"] = "auto"
    workers: Positive = 2  # processes that train fleets side by side on a CPU, with one thread each
    deterministic: bool = True  # on a GPU: the same numbers every time, by slower algorithms where it takes those
    fleet_members: Positive = 16
    inference_tokens: Positive = 16384  # padded tokens a forward pass without gradients


class Execution(Frozen):
    """Who trains the fleets of a stage. Changes speed, never a number."""

    executor: Literal["serial", "processes", "gpus", "ray"] = "processes"
    address: str | None = None  # of the Ray cluster; without it the environment's RAY_ADDRESS
    gpus_each: PositiveFloat = 1.0  # that a worker of `gpus` or `ray` takes: a share of one, or a whole number

    @model_validator(mode="after")
    def fits_together(self) -> "Execution":
        if self.gpus_each > 1 and not self.gpus_each.is_integer():
            raise ValueError(f"gpus_each is {self.gpus_each}; write a share such as 0.5, or a whole number")
        if self.executor != "ray" and self.address is not None:
            raise ValueError("address belongs to executor: ray; remove it")
        if self.executor in ("serial", "processes") and self.gpus_each != 1.0:
            raise ValueError("gpus_each belongs to executor: gpus or ray; remove it")
        return self


class Run(Frozen):
    """What is crossed with what: the matrix of the pipeline."""

    suites: Annotated[Names, Field(min_length=1)]
    backbones: Annotated[Names, Field(min_length=1)]
    untrained: Names = ()  # methods that train nothing, all in one stage a backbone
    trained: Names  # methods that train, each in a stage of its own

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods, untrained ones first."""
        return (*self.untrained, *self.trained)

    def folder_of(self, method: str) -> str:
        """Where a method's results lie among those of its backbone."""
        return f"untrained/{method}" if method in self.untrained else method

    def stage_of(self, method: str, backbone: str) -> str:
        """The pipeline's stage that makes a method's cells."""
        return f"untrained@{backbone}" if method in self.untrained else f"train@{method}-{backbone}"


class Params(Frozen):
    """All of params.yaml, in its order. `methods` holds raw sections, each parsed by its method's own class."""

    profile: Name
    purpose: str  # what its results can tell, in a sentence or two: a report begins with it
    run: Run
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), EachOnce]  # of the replicates
    budget: str
    budgets: dict[Name, Budget]
    tuning: Tuning
    device: Device
    execution: Execution
    max_tokens: Positive  # longest input of an example; longer ones are shortened
    world: WorldSettings
    suites: dict[Suite, SuiteSettings]
    backbones: dict[Name, BackboneSettings]
    methods: dict[Name, dict[str, Any]]

    @property
    def chosen_budget(self) -> Budget:
        return self.budgets[self.budget]

    def suites_of(self, backbone: str) -> tuple[str, ...]:
        """The suites of the run that a backbone meets, in the order of the run."""
        only = self.backbones[backbone].suites
        return self.run.suites if only is None else tuple(suite for suite in self.run.suites if suite in only)

    def not_planned(self, backbone: str, suite: str) -> str:
        """Why a backbone of the run does not meet a suite, or nothing."""
        planned = self.suites_of(backbone)
        return "" if suite in planned else f"params.yaml runs {backbone} on {', '.join(planned) or 'no suite'} only"

    @model_validator(mode="after")
    def names_exist(self) -> "Params":
        _refuse_unknown("budget", (self.budget,), self.budgets)
        _refuse_unknown("run.suites", self.run.suites, self.suites)
        _refuse_unknown("run.backbones", self.run.backbones, self.backbones)
        _refuse_unknown("run.untrained", self.run.untrained, self.methods)
        _refuse_unknown("run.trained", self.run.trained, self.methods)
        refuse_misplaced(self.suites)
        for name, backbone in self.backbones.items():
            _refuse_unknown(f"backbones.{name}.suites", backbone.suites or (), self.suites)
        if self.tuning.seed in self.seeds:
            raise ValueError(
                f"tuning.seed {self.tuning.seed} is also in seeds: a score on the seed that was tuned on "
                "is biased upward"
            )
        return self


def _refuse_unknown(key: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{key} names {shown(name)}, which has no section; known: {', '.join(sorted(known))}")
