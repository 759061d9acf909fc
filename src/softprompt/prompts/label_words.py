"""Words that stand for labels in the place of the labels' own.

Axes: F members, L labels, K words of a label, M tokens that are read, W outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.prompts.part import PARTS, FleetPart, Part

NO_WORD = -1  # fills rows of labels that have fewer words


@PARTS.register("label_words")
class LabelWords(Part):
    """A row is an output and the tokens whose summed probability it stands for."""

    words: Int[Tensor, "L 1+K"]

    def __init__(self, words: Int[Tensor, "L 1+K"]) -> None:
        super().__init__()
        self.register_buffer("words", words)

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:  # noqa: ARG003
        return cls(saved["words"])

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        """A member without any, or with fewer labels, gets rows by which an output stands for itself."""
        there = [part.words for part in parts if part is not None]
        labels, width = (max(words.shape[axis] for words in there) for axis in (0, 1))
        itself = torch.full((labels, width), NO_WORD, device=there[0].device)
        itself[:, :2] = 0  # output 0 stands for token 0
        stacked = itself.repeat(len(parts), 1, 1)
        for part, rows in zip(parts, stacked, strict=True):
            if part is not None:
                rows[: len(part.words), : part.words.shape[1]] = part.words
        return FleetLabelWords(stacked)


@dataclass(frozen=True)
class FleetLabelWords(FleetPart):
    """The label words of all members."""

    words: Int[Tensor, "F L 1+K"]

    def rescored(self, logits: Float[Tensor, "M W"], member: Int[Tensor, "M"]) -> Float[Tensor, "M W"]:
        rows = self.words[member]
        outputs, words = rows[..., 0], rows[..., 1:]
        of_words = logits.gather(1, words.clamp(min=0).flatten(1)).view_as(words)  # (M, L, K)
        of_words = of_words.masked_fill(words == NO_WORD, float("-inf"))
        return logits.scatter(1, outputs, of_words.logsumexp(dim=2))
