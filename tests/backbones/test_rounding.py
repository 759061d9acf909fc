"""Weights that are rounded once against autocast, which rounds them in every pass."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.backbones import BACKBONE_TYPES, tiny_backbone
from softprompt.backbones.backbone import Backbone

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


class Casts(TorchDispatchMode):
    """Counts the tensors that get another dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.count += func is torch.ops.aten._to_copy.default
        return func(*args, **(kwargs or {}))


def passed(backbone: Backbone) -> tuple[Tensor, Tensor, int]:
    """Hidden states, the gradient that reaches the embeddings, and how many casts that took."""
    embeddings = backbone.embed(IDS).detach().requires_grad_()
    with Casts() as casts, torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        hidden = backbone.encode(embeddings, torch.ones_like(IDS), torch.tensor([[1], [2]]), IDS[:, :1])
    (gradient,) = torch.autograd.grad(hidden.square().sum(), embeddings)
    return hidden.detach(), gradient, casts.count


@pytest.mark.parametrize("model_type", BACKBONE_TYPES)
def test_weights_rounded_once_give_what_autocast_gives(model_type: str, prepared: Path) -> None:
    backbone = tiny_backbone(model_type, prepared)
    backbone = backbone.with_model(backbone.model.float())
    hidden, gradient, casts = passed(backbone)
    hidden_rounded, gradient_rounded, fewer_casts = passed(backbone.rounded)
    torch.testing.assert_close(hidden_rounded, hidden, rtol=0, atol=0)
    torch.testing.assert_close(gradient_rounded, gradient, rtol=0, atol=0)
    rounded = [one for one in backbone.rounded.model.base_model.parameters() if one.dtype == torch.bfloat16]
    assert len(rounded) > 4
    assert casts - fewer_casts >= len(rounded) // 2  # some biases are added in float32 here, where GPUs fuse them


def test_all_other_weights_are_shared_and_the_model_stays_as_it_is(prepared: Path) -> None:
    backbone = tiny_backbone("gpt2", prepared)
    backbone = backbone.with_model(backbone.model.float())
    before = {name: (one.data_ptr(), one.dtype) for name, one in backbone.model.named_parameters()}
    for name, one in backbone.rounded.model.named_parameters():
        assert one.dtype == torch.bfloat16 or (one.data_ptr(), one.dtype) == before[name]
    assert {name: (one.data_ptr(), one.dtype) for name, one in backbone.model.named_parameters()} == before
    assert backbone.rounded is backbone.rounded


def test_weights_that_train_and_wider_ones_are_not_rounded(prepared: Path) -> None:
    backbone = tiny_backbone("bert", prepared)
    assert {one.dtype for one in backbone.rounded.model.parameters()} == {torch.float64}
    tuned = backbone.tuned_copy()
    assert tuned.rounded is tuned
