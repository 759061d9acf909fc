"""All weights of a member's own copy of the backbone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.errors import UserError
from softprompt.prompts.adapter import Adapter
from softprompt.prompts.part import PARTS, Part, copied
from softprompt.tasks.task import Template

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@PARTS.register("weights")
class TunedWeights(Part):
    """A model whose weights train. `reads_words`: its language-model head answers; beside a classification head it
    gets no gradient."""

    from_backbone: ClassVar[bool] = True

    def __init__(self, model: "PreTrainedModel", *, reads_words: bool = True) -> None:
        super().__init__()
        self.model = model
        self.reads_words = reads_words

    @property
    def trained_numbers(self) -> int:
        model = self.model if self.reads_words else self.model.base_model
        return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

    def saved(self) -> dict[str, Tensor]:
        return {name: copied(value) for name, value in self.model.named_parameters()}

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:  # noqa: ARG003
        model = backbone.tuned_copy().model
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(saved[name])
        return cls(model)

    def applied_to(self, backbone: Backbone) -> Backbone:
        return backbone.with_model(self.model)

    def adapter(self, backbone: Backbone, template: Template) -> Adapter:  # noqa: ARG002
        raise UserError("all weights of its backbone are tuned, which makes a model and no adapter")
