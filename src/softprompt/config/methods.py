"""What the sections of methods are made of: settings, what is searched, the paper's own values, recipes."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, ValidationError, model_validator

from softprompt.config.search import Choice, Range, Search, Space
from softprompt.config.types import Fraction, Frozen, Kind, Positive

STRUCTURE = ("search", "paper", "recipe")  # keys of a section that are no setting


class Recipe(Frozen):
    """How a method's parameters are optimised, as its paper does."""

    optimizer: Literal["adam", "adamw", "adafactor", "none"]  # none: nothing descends a gradient
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "linear", "exponential"] = "constant"
    gamma: Fraction = 1.0  # factor an epoch of the exponential schedule
    clip_norm: PositiveFloat | None = None  # of each member's gradient
    backbone_weight_decay: NonNegativeFloat | None = None  # of a tuned backbone, beside a rate of its own
    backbone_dropout: bool = False  # in training, frozen or not, at the rates of the backbone's own configuration


class Paper(Frozen):
    """What a method's paper chose of the searched settings on a kind of backbone, and the horizon it chose them for.

    A section has it only where its recipe is the paper's too.
    """

    steps: Positive
    batch_size: Positive
    values: Annotated[dict[Kind, dict[str, Choice]], Field(min_length=1)]


class MethodSettings(Search):
    """A method's section: its settings, and under `search` what those may be that are tuned.

    Until `with_values` says what was chosen, a searched setting has the first value that the search could try. `paper`
    is trial 0 of every study on the paper's own horizon, and of no other. Methods add their keys in a subclass;
    `unsearchable` names those that decide what a task's rows are or how they are answered.
    """

    unsearchable: ClassVar[tuple[str, ...]] = ()
    paper: Paper | None = None

    @model_validator(mode="before")
    @classmethod
    def all_that_is_searched_is_valid(cls, raw: Any) -> Any:
        """Builds the settings from every combination of extremes, so that no trial can be an impossible one."""
        if not isinstance(raw, dict) or not raw.get("search"):
            return raw
        spaces = Search(search=raw["search"]).search
        cls._refuse_unsearchable(raw, spaces)
        plain = {key: value for key, value in raw.items() if key not in ("search", "paper")}
        for values in _combinations(spaces):
            cls._refuse_impossible(plain, values, "search")
        return raw | next(_combinations(spaces))

    @model_validator(mode="after")
    def paper_is_a_trial(self) -> Self:
        for kind, values in self.paper.values.items() if self.paper else ():
            for name in sorted(set(values) ^ set(self.search)):
                raise ValueError(
                    f"paper.values.{kind} and search must name the same settings, but only one of them has {name}"
                )
            for name, value in values.items():
                if isinstance(value, str) and isinstance(self.search[name], Range):
                    raise ValueError(
                        f"paper.values.{kind}.{name} is the text {value!r}, not a number; "
                        "YAML reads 1e-5 as text, write 1.0e-5"
                    )
                if value not in self.search[name]:
                    raise ValueError(
                        f"paper.values.{kind}.{name} is {value}, outside its range; "
                        f"a valid value lies {self.search[name]}"
                    )
            self._refuse_impossible(self.fixed(), values, f"paper.values.{kind}")
        return self

    def fixed(self) -> dict[str, Any]:
        """All but what is searched and what the paper says, as JSON has it."""
        return self.model_dump(mode="json", exclude={"search", "paper"})

    def papers_values(self, kind: Kind, *, steps: int, batch_size: int) -> Mapping[str, Choice]:
        """The paper's own values on a kind of backbone, where this is its horizon; else nothing."""
        paper = self.paper
        if paper is None or (paper.steps, paper.batch_size) != (steps, batch_size):
            return {}
        return paper.values.get(kind, {})

    def values_of(self, name: str) -> list[Any]:
        """The one value of a setting, or the extremes of its range."""
        return self.search[name].extremes() if name in self.search else [getattr(self, name)]

    def with_values(self, values: Mapping[str, Choice]) -> Self:
        """The settings of one trial, with nothing left to search."""
        return self.model_validate(self.fixed() | dict(values))

    @classmethod
    def _refuse_unsearchable(cls, raw: dict[str, Any], spaces: Mapping[str, Space]) -> None:
        known = [name for name in cls.model_fields if name not in (*STRUCTURE, *cls.unsearchable)]
        for name, space in spaces.items():
            if name not in known:
                raise ValueError(
                    f"search names {name}, which cannot be searched here; settings that can: {', '.join(known) or '-'}"
                )
            if raw.get(name) is not None:
                raise ValueError(f"{name} has a value and stands in search too; remove one of them")
            if cls.model_fields[name].annotation is bool and isinstance(space, Range):
                raise ValueError(f"search.{name} is a range, but {name} is no number; write [false, true]")

    @classmethod
    def _refuse_impossible(cls, plain: dict[str, Any], values: Mapping[str, Choice], place: str) -> None:
        """A fault of a value is told with the place that it stands in."""
        try:
            cls.model_validate(plain | dict(values))
        except ValidationError as error:
            for fault in error.errors():
                name = str(fault["loc"][0]) if fault["loc"] else ""
                if name in values:
                    raise ValueError(f"{place}.{name} allows {values[name]!r}: {fault['msg']}") from None
            raise


class TrainedMethodSettings(MethodSettings):
    """What every trained method's section has.

    `recipe` and `learning_rate` belong to methods that descend a gradient, and to those only.
    """

    recipe: Recipe = Recipe(optimizer="none")
    learning_rate: PositiveFloat | None = None
    backbone_learning_rate: PositiveFloat | None = None  # of a tuned backbone, where `learning_rate` is not its own
    prompt_length: Positive | None = None  # vectors of the whole prompt; none where the method has no prompt

    @property
    def descends(self) -> bool:
        """Whether parameters are trained by gradient descent."""
        return True

    @model_validator(mode="after")
    def has_what_descent_needs(self) -> Self:
        if self.descends and self.recipe.optimizer == "none":
            raise ValueError("key recipe is missing")
        if self.descends and self.learning_rate is None:
            raise ValueError(
                "key learning_rate is missing; write a value such as 1.0e-3, or a range in `search` such as "
                "{low: 1.0e-5, high: 1.0e-2, log: true}"
            )
        given = {"recipe": self.recipe.optimizer != "none", "learning_rate": self.learning_rate is not None}
        for name, there in given.items():
            if there and not self.descends:
                raise ValueError(f"{name} would do nothing here, where no gradient is descended; remove it")
        if self.recipe.backbone_weight_decay is not None and self.backbone_learning_rate is None:
            raise ValueError(
                "recipe.backbone_weight_decay needs a backbone_learning_rate, such as 1.0e-5, beside the recipe"
            )
        return self


def _combinations(spaces: Mapping[str, Space]) -> Iterator[dict[str, Choice]]:
    """Every combination of extremes, the lowest values and first choices first."""
    for values in product(*(space.extremes() for space in spaces.values())):
        yield dict(zip(spaces, values, strict=True))
