"""Weights of an example's wordings, whose log-probabilities are added up.

Axes: F members, C wordings of an example, R rows, E examples, W outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.device import uploaded
from softprompt.inputs.outputs import Reading
from softprompt.prompts.part import PARTS, FleetPart, Part
from softprompt.prompts.side_by_side import side_by_side


@PARTS.register("mixture")
class Mixture(Part):
    """Logits whose softmax are the weights."""

    def __init__(self, logits: Float[Tensor, "C"], *, trains: bool = True) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits, requires_grad=trains)

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:  # noqa: ARG003
        return cls(saved["logits"])

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        logits = side_by_side([part.logits for part in parts if part is not None])  # (F, C)
        wordings = [len(part.logits) for part in parts if part is not None]
        if min(wordings) < max(wordings):
            (ends,) = uploaded([torch.tensor(wordings)], logits.device)
            behind = torch.arange(logits.shape[1], device=logits.device) >= ends[:, None]
            logits = logits.masked_fill(behind, float("-inf"))
        return FleetMixtures(logits.softmax(dim=1))


@dataclass(frozen=True)
class FleetMixtures(FleetPart):
    """The weights of all members, each member's adding up to one."""

    weights: Float[Tensor, "F C"]

    def combined(self, reading: Reading) -> Reading:
        """The weighted sum of what an example's wordings give as log-probabilities of every output. Of the batch the
        first row of each example is left."""
        batch = reading.batch
        weight = self.weights[batch.member, batch.candidate]  # (R,)
        weighted = weight[:, None] * reading.logits.log_softmax(dim=1)  # (R, W)
        scores = weighted.new_zeros(len(batch.first), weighted.shape[1])
        scores = scores.index_add(0, batch.example, weighted)  # (E, W)
        firsts = batch.firsts()
        return Reading(scores, firsts.target[:, 0], firsts.example, firsts)
