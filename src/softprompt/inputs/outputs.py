"""What a row may be answered with, what the backbone says of it, and what it was answered with, as numbers.

Axes: F members, M tokens that are read, W outputs, N and E examples, K words of a row.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from softprompt.inputs.batches import Batch
from softprompt.tasks.task import AnswerForm

LossOver = Literal["answers", "vocabulary"]


@dataclass(frozen=True)
class OutputSpace:
    """What a row may be answered with. An output (W) is a vocabulary entry, or a class of a classification head.

    `allowed` are the outputs that can be predicted, `in_loss` those that the softmax of the loss runs over: LAMA trains
    over the whole vocabulary and predicts from the restricted one (THUDM/P-tuning LAMA/p_tuning/modeling.py).
    Candidates and generated texts are made of any outputs; there `form` says how rows become an answer (tasks/task.py).
    """

    allowed: Bool[Tensor, "W"]
    in_loss: Bool[Tensor, "W"]
    form: AnswerForm = "label"

    def trained_over(self, loss_over: LossOver) -> "OutputSpace":
        """The same answers, learnt against every output where the method's loss is over the whole vocabulary."""
        return self if loss_over == "answers" else replace(self, in_loss=torch.ones_like(self.in_loss))


@dataclass(frozen=True)
class Reading:
    """What the backbone says where answers are read: logits, the outputs that answers consist of, and whose row;
    `extra` is what a part adds to the loss that trains, and to no other."""

    logits: Float[Tensor, "M W"]
    target: Int[Tensor, "M"]
    row: Int[Tensor, "M"]
    batch: Batch
    extra: Float[Tensor, "E"] | None = None


@dataclass(frozen=True)
class Predictions:
    """What was answered to each example: output (or candidate, or 1 where the text was generated, or an output a word,
    padded with NO_TOKEN), the gold answer's rank among the possible ones, its loss. A loss that is not finite says that
    the logits are not."""

    prediction: Int[Tensor, "N"] | Int[Tensor, "N K"]
    gold_rank: Int[Tensor, "N"]
    loss: Float[Tensor, "N"]


def stack_masks(spaces: list[OutputSpace], device: torch.device) -> tuple[Bool[Tensor, "F W"], Bool[Tensor, "F W"]]:
    """`allowed` and `in_loss` of all members, narrower spaces widened with outputs that nobody may give."""
    width = max(len(space.allowed) for space in spaces)

    def stacked(masks: list[Tensor]) -> Tensor:
        return torch.stack([nn.functional.pad(mask, (0, width - len(mask)), value=False) for mask in masks]).to(device)

    return stacked([space.allowed for space in spaces]), stacked([space.in_loss for space in spaces])
