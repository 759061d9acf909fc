"""Frozen weights for passes under autocast, which would cast those of every product anew at every step."""

import copy
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def with_rounded_products(model: "PreTrainedModel") -> "PreTrainedModel":
    """The same frozen model whose body multiplies by weights in bfloat16; it shares whatever is not multiplied by."""
    from transformers.pytorch_utils import Conv1D

    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    rounded = cast("PreTrainedModel", copy.deepcopy(model, dict(shared)))
    for module in rounded.base_model.modules():
        if isinstance(module, nn.Linear | Conv1D):
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.dtype == torch.float32:  # autocast leaves float64 as it is
                    setattr(module, name, nn.Parameter(parameter.to(torch.bfloat16), requires_grad=False))
    return rounded
