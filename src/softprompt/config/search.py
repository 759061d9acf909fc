"""What tuning may try: the entries of a method's `search`, from the name of a setting to what it may be."""

import sys
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, RootModel, model_validator

from softprompt.config.types import Frozen
from softprompt.errors import shown

MOST = sys.float_info.max


def _number(value: Any) -> Any:
    """One fault for whatever is no number, where a union would tell one for each of its types."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST <= value <= MOST:
        raise ValueError(f"{shown(value)} is no finite number; write one such as 3 or 1.0e-3 (YAML reads 1e-3 as text)")
    return value


def _choice(value: Any) -> Any:
    return value if isinstance(value, bool | str) else _number(value)


Number = Annotated[int | float, BeforeValidator(_number)]
Choice = Annotated[bool | int | float | str, BeforeValidator(_choice)]


class Range(Frozen):
    """Numbers with both ends included, whole ones where the setting is a whole number."""

    low: Number
    high: Number
    log: bool = False

    @model_validator(mode="after")
    def upward(self) -> "Range":
        if self.low > self.high:
            raise ValueError(
                f"the range is upside down: low {self.low} is above high {self.high}; "
                f"write low: {self.high}, high: {self.low}"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, found {self.low}; write log: false or a higher low")
        return self

    def extremes(self) -> list[Choice]:
        """Both ends."""
        return [self.low, self.high]

    def __contains__(self, value: Choice) -> bool:
        return not isinstance(value, str) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"between {self.low} and {self.high}"


class Choices(RootModel[Annotated[tuple[Choice, ...], Field(min_length=1)]]):
    """Values without an order, numbers or words."""

    model_config = ConfigDict(frozen=True)

    def extremes(self) -> list[Choice]:
        """All of them."""
        return list(self.root)

    def __contains__(self, value: Choice) -> bool:
        return value in self.root

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.root))}"


def _space(raw: Any) -> Any:
    return Choices.model_validate(raw) if isinstance(raw, list | tuple) else Range.model_validate(raw)


Space = Annotated[Range | Choices, BeforeValidator(_space)]


class Search(Frozen):
    """The part of a method's section that says what is tuned."""

    search: dict[str, Space] = Field(default={})
