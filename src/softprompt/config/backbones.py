"""The section `backbones`: where a model comes from, and how one is pretrained here."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from softprompt.config.types import LARGEST, Fraction, Frozen, Kind, Positive, Seed, Suite

Dtype = Literal["float32", "bfloat16"]


class Architecture(Frozen):
    """Sizes of a backbone that is pretrained in the pipeline."""

    type: str  # an entry of ARCHITECTURES in backbones/architectures.py
    hidden_size: Positive = 64
    layers: Positive = 2
    heads: Positive = 4
    feed_forward_size: Positive = 256
    positions: Positive = 128
    vocabulary_size: Positive = 1600  # of the trained tokenizer, before the one-token answers are added
    initial_deviation: NonNegativeFloat = 0.08  # of the initial weights; T5 has its own scheme

    @model_validator(mode="after")
    def heads_divide_the_width(self) -> "Architecture":
        if self.hidden_size % self.heads:
            fitting = next(heads for heads in range(self.heads, 0, -1) if self.hidden_size % heads == 0)
            raise ValueError(
                f"heads is {self.heads}, which does not divide hidden_size {self.hidden_size}; write heads: {fitting}"
            )
        return self


class PretrainingSettings(Frozen):
    """How a backbone is pretrained on the text that `prepare` made."""

    steps: Positive = 1700
    batch_size: Positive = 96  # rows of `row_tokens`; fewer of a text whose lines need wider ones
    row_tokens: Positive = 24  # several short documents are packed into one row
    long_rows_share: Fraction = 0.0  # of the steps, the last ones: rows as long as the positions, fewer a batch
    documents_share: Fraction = 0.15  # of the steps, spent on documents instead of facts
    first_lines: int = Field(0, ge=0, le=LARGEST)  # lines of the facts to begin with; 0: all of them
    more_documents: tuple[Suite, ...] = ()  # suites whose documents are learnt as well; extra has some
    other_tokens: float = Field(2.5, ge=0)  # per answer, at which a causal model has a loss
    learning_rate: PositiveFloat = 3.0e-3
    warmup_steps: int = Field(60, ge=0, le=LARGEST)
    seed: Seed = 0


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
    pickled_weights: bool = False  # whether pytorch_model.bin is taken where there is no model.safetensors
    dtype: Dtype = "float32"  # of frozen weights; what trains is float32 everywhere
    gradient_checkpointing: bool = False  # of weights that train: slower by a third, and only layers' inputs are kept
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
