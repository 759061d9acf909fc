"""The sections `world` and `suites`: which data there is and what is drawn from it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from softprompt.config.names import Names
from softprompt.config.types import Fraction, Frozen, Positive, Seed, Suite

Vocabulary = Literal["29k", "34k", "common", "full"]
NOT_THERE: dict[tuple[Suite, str], str] = {
    ("glue", "embedded"): "the generated world has no GLUE; choose local, hub or official",
    ("extra", "local"): "the example set is generated; choose embedded",
    ("extra", "hub"): "the example set is generated; choose embedded",
    ("extra", "official"): "the example set is generated; choose embedded",
    ("fewglue", "hub"): "FewGLUE_32dev is not on the hub; choose official",
}


class WorldSettings(Frozen):
    """The generated world behind the suites with source `embedded`."""

    seed: Seed = 0
    subjects: Positive = 200  # per entity type
    wordings_per_fact: Positive = 2  # wordings in which pretraining shows a fact
    withheld: Fraction = 0.1  # share of the facts that pretraining never shows


class TextSettings(Frozen):
    """Pretraining text made of LAMA's own facts."""

    wordings_per_fact: Positive = 2  # wordings in which the text tells a fact
    withheld: Annotated[float, Field(ge=0, lt=1)] = 0.1  # share of a relation's subjects that the text says nothing of
    seed: Seed = 0


class SuiteSettings(Frozen):
    """Where a suite comes from and which of its tasks run."""

    source: Literal["embedded", "local", "hub", "official"]
    path: str = "data/raw"  # folder of a `local` source; the pipeline notices changes in data/raw only
    tasks: Names | Literal["all"] = "all"
    dev_share: Fraction = 0.1  # of train, carved off as dev where a suite publishes none
    train_limit: Positive | None = None  # seeded sample of the train split
    test_limit: Positive | None = None  # seeded sample of the test split
    vocabulary: Vocabulary = "full"  # lama: the words that answers are chosen among; full: the whole tokenizer
    split_seed: Seed | None = None  # fewglue: draw 32 + 32 others from SuperGLUE's train file; null: the official ones
    text: TextSettings | None = None  # lama with a `local` source: pretraining text made of its facts

    @model_validator(mode="after")
    def belongs_to_local(self) -> "SuiteSettings":
        if self.source != "local" and "path" in self.model_fields_set:
            raise ValueError(f"`path` belongs to source: local; source: {self.source} reads no folder, remove it")
        if self.text is not None and self.source != "local":
            raise ValueError("`text` belongs to source: local; the embedded world has a text of its own; remove it")
        return self


def refuse_misplaced(suites: dict[Suite, SuiteSettings]) -> None:
    """Raises a ValueError for a source that lacks a suite, and for keys that would do nothing where they stand."""
    for suite, settings in suites.items():
        if (suite, settings.source) in NOT_THERE:
            reason = NOT_THERE[suite, settings.source]
            raise ValueError(f"suites.{suite}.source is {settings.source!r}, but {reason}")
        if suite != "lama" and settings.vocabulary != "full":
            raise ValueError(f"suites.{suite}.vocabulary is a key of suites.lama only; remove it")
        if suite != "lama" and settings.text is not None:
            raise ValueError(f"suites.{suite}.text: only lama has facts to tell; write it as suites.lama.text")
        if suite != "fewglue" and settings.split_seed is not None:
            raise ValueError(f"suites.{suite}.split_seed is a key of suites.fewglue only; remove it")
