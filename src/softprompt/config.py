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
Suite = Literal["lama", "superglue", "fewglue"]
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


class TextSettings(Frozen):
    """Pretraining text made of LAMA's own facts."""

    wordings_per_fact: Positive = 2  # wordings in which the text tells a fact
    withheld: Annotated[float, Field(ge=0, lt=1)] = 0.1  # share of a relation's subjects that the text says nothing of
    seed: int = 0


class SuiteSettings(Frozen):
    """Where a suite comes from and which of its tasks run."""

    source: Literal["embedded", "local"]
    path: str = "data/raw"  # folder of a `local` source; the pipeline notices changes in data/raw only
    tasks: tuple[str, ...] | Literal["all"] = "all"
    dev_share: Fraction = 0.1  # of train, carved off as dev where a suite publishes none
    train_limit: Positive | None = None  # seeded sample of the train split
    test_limit: Positive | None = None  # seeded sample of the test split
    text: TextSettings | None = None  # of lama with a `local` source: pretraining text made of its facts

    @model_validator(mode="after")
    def one_text(self) -> "SuiteSettings":
        if self.text is not None and self.source != "local":
            raise ValueError("text is for source: local; the embedded world has a text of its own; remove `text`")
        return self


class Architecture(Frozen):
    """Sizes of a backbone that is pretrained in the pipeline."""

    type: Literal["bert", "roberta", "albert", "gpt2", "llama", "t5"]
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


class BackboneSettings(Frozen):
    """A backbone: pretrained here, or a folder in Hugging Face format."""

    source: Literal["pretrain", "local"]
    path: str = ""
    kind: Kind
    architecture: Architecture | None = None
    pretraining: PretrainingSettings | None = None

    @model_validator(mode="after")
    def complete(self) -> "BackboneSettings":
        if self.source == "pretrain" and (self.architecture is None or self.pretraining is None):
            raise ValueError("source: pretrain needs the sections `architecture` and `pretraining`")
        if self.source == "local" and not self.path:
            raise ValueError("source: local needs `path`, a folder in Hugging Face format")
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

    @model_validator(mode="after")
    def names_exist(self) -> "Params":
        _refuse_unknown("budget", (self.budget,), self.budgets)
        _refuse_unknown("run.suites", self.run.suites, self.suites)
        _refuse_unknown("run.backbones", self.run.backbones, self.backbones)
        _refuse_unknown("run.methods", self.run.methods, self.methods)
        for suite, settings in self.suites.items():
            if settings.text is not None and suite != "lama":
                raise ValueError(f"suites.{suite}.text: only lama has facts to tell; write it as suites.lama.text")
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
