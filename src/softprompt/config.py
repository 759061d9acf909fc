"""The sections of params.yaml as frozen models; `params.py` reads them. Inside, nobody sees a dict."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    model_validator,
)

Kind = Literal["masked", "causal", "seq2seq"]
Suite = Literal["lama", "superglue", "fewglue", "glue"]
Dtype = Literal["float32", "bfloat16"]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorldSettings(Frozen):
    """The generated world behind the suites with source `embedded`."""

    seed: int = 0
    subjects: Positive = 200  # per entity type
    wordings_per_fact: Positive = 2  # wordings in which pretraining shows a fact
    withheld: Fraction = 0.1  # share of the facts that pretraining never shows


class SuiteSettings(Frozen):
    """Where a suite comes from and which of its tasks run."""

    source: Literal["embedded", "local", "hub", "official"]
    path: str = "data/raw"  # folder of a `local` source; the pipeline notices changes in data/raw only
    tasks: tuple[str, ...] | Literal["all"] = "all"
    dev_share: Fraction = 0.1  # of train, carved off as dev where a suite publishes none
    train_limit: Positive | None = None  # seeded sample of the train split
    test_limit: Positive | None = None  # seeded sample of the test split


class Architecture(Frozen):
    """Sizes of a backbone that is pretrained in the pipeline."""

    type: Literal["bert", "roberta", "albert", "distilbert", "electra", "gpt2", "llama", "t5"]
    hidden_size: Positive = 64
    layers: Positive = 2
    heads: Positive = 4
    feed_forward_size: Positive = 256
    positions: Positive = 128
    vocabulary_size: Positive = 1600  # of the trained tokenizer, before the one-token answers are added
    initial_deviation: float = 0.08  # of the initial weights; T5 has its own scheme


class PretrainingSettings(Frozen):
    """How a backbone is pretrained on the text that `prepare` made."""

    steps: Positive = 1700
    batch_size: Positive = 96  # rows of `row_tokens`; fewer of a text whose lines need wider ones
    row_tokens: Positive = 24  # several short documents are packed into one row
    documents_share: Fraction = 0.15  # of the steps, spent on documents instead of facts
    other_tokens: float = Field(2.5, ge=0)  # per answer, at which a causal model has a loss
    learning_rate: float = 3.0e-3
    warmup_steps: int = 60
    seed: int = 0


class Size(Frozen):
    """How large a model of the hub is, for `softprompt plan`, which opens no model."""

    million_parameters: PositiveFloat
    layers: Positive  # that read the input: of T5 those of the encoder
    hidden_size: Positive


class BackboneSettings(Frozen):
    """A backbone: pretrained here, a folder in Hugging Face format, or a pinned model of the Hugging Face hub."""

    source: Literal["pretrain", "local", "hub"]
    path: str = ""
    repo: str = ""  # owner/name on the hub
    revision: str = "main"  # a branch or tag is resolved when it is fetched; models/NAME/source.json says to what
    kind: Kind
    dtype: Dtype = "float32"  # of frozen weights; what trains is float32 everywhere
    suites: Annotated[tuple[Suite, ...], Field(min_length=1)] | None = None  # the only ones it meets; null: all
    size: Size | None = None
    architecture: Architecture | None = None
    pretraining: PretrainingSettings | None = None

    @model_validator(mode="after")
    def complete(self) -> "BackboneSettings":
        if self.source == "pretrain" and (self.architecture is None or self.pretraining is None):
            raise ValueError("source: pretrain needs the sections `architecture` and `pretraining`")
        if self.source == "local" and not self.path:
            raise ValueError("source: local needs `path`, a folder in Hugging Face format")
        if self.source == "hub" and (self.repo.count("/") != 1 or self.size is None):
            raise ValueError("source: hub needs `repo`, such as google-bert/bert-base-cased, and the section `size`")
        return self


class LengthRange(Frozen):
    """Prompt lengths to search, both ends included, in vectors over the whole prompt."""

    low: Positive
    high: Positive

    @model_validator(mode="after")
    def upward(self) -> "LengthRange":
        return _refuse_upside_down(self)


class RateRange(Frozen):
    """Learning rates to search on a log scale."""

    low: PositiveFloat
    high: PositiveFloat

    @model_validator(mode="after")
    def upward(self) -> "RateRange":
        return _refuse_upside_down(self)


AnyRange = TypeVar("AnyRange", LengthRange, RateRange)


def _refuse_upside_down(searched: AnyRange) -> AnyRange:
    if searched.low > searched.high:
        raise ValueError(
            f"the range is upside down: low {searched.low} is above high {searched.high}; "
            f"write low: {searched.high}, high: {searched.low}"
        )
    return searched


class Recipe(Frozen):
    """How a method's parameters are optimised, as its paper does."""

    optimizer: Literal["adam", "adamw", "adafactor"]
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "linear", "exponential"] = "constant"
    gamma: Fraction = 1.0  # factor an epoch of the exponential schedule
    clip_norm: PositiveFloat | None = None  # of each member's gradient


class PaperSetting(Frozen):
    """What the method's paper used on one kind of backbone: trial 0 of every study."""

    learning_rate: PositiveFloat
    prompt_length: Positive | None = None  # absent where the method has no prompt


class TrainedMethodSettings(Frozen):
    """What every trained method's section has. Methods add their own keys in a subclass."""

    recipe: Recipe
    learning_rate: RateRange
    prompt_length: LengthRange | None = None
    paper: dict[Kind, PaperSetting] = {}


class Budget(Frozen):
    """How much tuning and training every method gets."""

    trials: Annotated[int, Field(ge=2)]  # the best of one trial says nothing about tuning
    steps: Positive  # optimiser steps a member
    batch_size: Positive  # rows a member and step
    eval_every: Positive  # steps between looks at dev
    patience: Positive  # looks without a better dev score until a member stops


class Tuning(Frozen):
    """How Optuna proposes trials."""

    sampler: Literal["tpe", "random", "qmc", "gp"] = "tpe"
    batch: Positive = 4  # trials proposed together, which become fleets
    seed: int = 1000  # never one of the reported seeds


class Device(Frozen):
    """Where and how wide training runs. Changes speed, never what is asked of a method."""

    type: Literal["auto", "cpu", "cuda"] = "auto"
    workers: Positive = 2  # processes that train fleets side by side on a CPU, with one thread each
    fleet_members: Positive = 16
    inference_tokens: Positive = 16384  # padded tokens a forward pass without gradients
    max_tokens: Positive = 256  # longest input of an example; longer ones are shortened


class Run(Frozen):
    """What is crossed with what: the matrix of the pipeline."""

    suites: tuple[str, ...]
    backbones: tuple[str, ...]
    methods: tuple[str, ...]


class Params(Frozen):
    """All of params.yaml. `methods` holds raw sections, each parsed by its method's own settings class."""

    profile: str
    run: Run
    world: WorldSettings
    suites: dict[Suite, SuiteSettings]
    backbones: dict[str, BackboneSettings]
    methods: dict[str, dict[str, Any]]
    budget: str
    budgets: dict[str, Budget]
    tuning: Tuning
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    device: Device

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
        _refuse_unknown("run.methods", self.run.methods, self.methods)
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
            raise ValueError(f"{key} names {name!r}, which has no section; known: {', '.join(sorted(known))}")
