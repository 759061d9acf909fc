"""A classification head: one hidden state in, one number a class out.

Axes: M tokens that are read, H hidden size, W classes of the widest head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.errors import UserError
from softprompt.prompts.adapter import Adapter
from softprompt.prompts.part import PARTS, FleetPart, Part, copied
from softprompt.prompts.side_by_side import side_by_side
from softprompt.tasks.task import Task, Template

DEVIATION = 0.02  # of the weights at the start, as BERT's


@PARTS.register("head")
class Head(Part):
    """A linear classifier. Candidates get one number each, as in multiple choice (BertForMultipleChoice)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    @classmethod
    def drawn(cls, task: Task, backbone: Backbone, generator: torch.Generator) -> Self:
        """Normal weights, zero bias, in float32 (float64 only over a float64 backbone)."""
        outputs, dtype = 1 if task.answer_form == "candidates" else len(task.labels), backbone.word_embeddings().dtype
        linear = nn.Linear(backbone.hidden_size, outputs, dtype=torch.promote_types(dtype, torch.float32))
        nn.init.normal_(linear.weight, std=DEVIATION, generator=generator)
        nn.init.zeros_(linear.bias)
        return cls(linear)

    def saved(self) -> dict[str, Tensor]:
        return {name: copied(value) for name, value in self.linear.named_parameters()}

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:  # noqa: ARG003
        outputs, hidden = saved["weight"].shape
        linear = nn.Linear(hidden, outputs, device=saved["weight"].device, dtype=saved["weight"].dtype)
        linear.load_state_dict(dict(saved))
        return cls(linear)

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        return FleetHeads([part.linear for part in parts if part is not None])

    def adapter(self, backbone: Backbone, template: Template) -> Adapter:  # noqa: ARG002
        raise UserError("its classification head reads one hidden state, which PEFT's prompt adapters do not have")


@dataclass(frozen=True)
class FleetHeads(FleetPart):
    """The heads of all members; those with fewer classes are padded."""

    heads: Sequence[nn.Linear]

    def outputs(self, hidden: Float[Tensor, "M H"], member: Int[Tensor, "M"]) -> Float[Tensor, "M W"]:
        weight = side_by_side([head.weight for head in self.heads])  # (F, W, H)
        bias = side_by_side([head.bias for head in self.heads])
        return torch.einsum("rh,rwh->rw", hidden, weight[member]) + bias[member]
