"""What the sections of methods are made of: recipes, search ranges, the paper's own setting."""

from typing import Literal, TypeVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from softprompt.config.types import Fraction, Frozen, Kind, Positive


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

    optimizer: Literal["adam", "adamw", "adafactor", "none"]  # none: nothing descends a gradient
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "linear", "exponential"] = "constant"
    gamma: Fraction = 1.0  # factor an epoch of the exponential schedule
    clip_norm: PositiveFloat | None = None  # of each member's gradient
    backbone_learning_rate: PositiveFloat | None = None  # of a tuned backbone, where the searched rate is not its own
    backbone_weight_decay: NonNegativeFloat | None = None  # of a tuned backbone, beside a rate of its own

    @model_validator(mode="after")
    def decay_beside_rate(self) -> "Recipe":
        if self.backbone_weight_decay is not None and self.backbone_learning_rate is None:
            raise ValueError("backbone_weight_decay needs a backbone_learning_rate, such as 1.0e-5, beside it")
        return self


class PaperSetting(Frozen):
    """What the method's paper used on one kind of backbone: trial 0 of every study."""

    learning_rate: PositiveFloat | None = None  # absent where nothing descends a gradient
    prompt_length: Positive | None = None  # absent where the method has no prompt


class TrainedMethodSettings(Frozen):
    """What every trained method's section has. Methods add their own keys in a subclass.

    `recipe` and `learning_rate` belong to methods that descend a gradient, and to those only.
    """

    recipe: Recipe = Recipe(optimizer="none")
    learning_rate: RateRange | None = None
    prompt_length: LengthRange | None = None
    paper: dict[Kind, PaperSetting] = Field(default={})

    @property
    def descends(self) -> bool:
        """Whether parameters are trained by gradient descent."""
        return True

    @model_validator(mode="after")
    def has_what_descent_needs(self) -> "TrainedMethodSettings":
        given = {"recipe": self.recipe.optimizer != "none", "learning_rate": self.learning_rate is not None}
        for name, there in given.items():
            if self.descends and not there:
                raise ValueError(f"key {name} is missing")
            if there and not self.descends:
                raise ValueError(f"{name} would do nothing here, where no gradient is descended; remove it")
        return self
