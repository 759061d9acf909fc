"""Numbers added to the logits of outputs. Axes: F members, M tokens that are read, W outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from jaxtyping import Float, Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.prompts.part import PARTS, FleetPart, Part
from softprompt.prompts.side_by_side import side_by_side


@PARTS.register("bias")
class Bias(Part):
    """One number an output."""

    values: Float[Tensor, "W"]

    def __init__(self, values: Float[Tensor, "W"]) -> None:
        super().__init__()
        self.register_buffer("values", values)

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:  # noqa: ARG003
        return cls(saved["values"])

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        return FleetBiases(side_by_side([part.values for part in parts if part is not None]))


@dataclass(frozen=True)
class FleetBiases(FleetPart):
    """The biases of all members."""

    values: Float[Tensor, "F W"]

    def rescored(self, logits: Float[Tensor, "M W"], member: Int[Tensor, "M"]) -> Float[Tensor, "M W"]:
        return logits + self.values[member]
