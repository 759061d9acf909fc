"""Layers that keep their inputs only: the same gradients to the last bit, and less to remember."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from helpers.backbones import BACKBONE_TYPES, RATE, dropping_backbone
from helpers.trained_stages import BACKBONE, bytes_below, make_inputs, run_stage, stage_params, without_spent
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.loading import recomputing_backbone
from softprompt.errors import UserError

WITHOUT_LAYERS = ("albert",)  # all of its layers are one
ROWS, TOKENS = 3, 12


def gradients(backbone: Backbone, *, noise: bool) -> tuple[list[Tensor], int]:
    """Of all weights after one pass there and back, and how many numbers it kept in between."""
    kept: list[int] = []
    weights = {weight.data_ptr() for weight in backbone.model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        kept.append(0 if tensor.data_ptr() in weights else tensor.numel())
        return tensor

    ids = torch.arange(ROWS * TOKENS).view(ROWS, TOKENS) + 50
    mask = (torch.arange(TOKENS) < torch.tensor([12, 9, 5])[:, None]).long()
    last = mask.sum(dim=1, keepdim=True) - 1
    backbone.model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        streams = torch.arange(ROWS) if noise else None
        hidden = backbone.encode(backbone.embed(ids), mask, last, ids[:, :1], noise=streams)
    hidden.square().sum().backward()
    return [torch.zeros(()) if w.grad is None else w.grad.clone() for w in backbone.model.parameters()], sum(kept)


@pytest.mark.parametrize("noise", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("model_type", [name for name in BACKBONE_TYPES if name not in WITHOUT_LAYERS])
def test_gradients_are_the_same_to_the_last_bit(model_type: str, noise: bool, prepared: Path) -> None:
    plain = dropping_backbone(model_type, prepared, RATE).tuned_copy()
    expected, kept = gradients(plain, noise=noise)
    found, kept_by_input = gradients(recomputing_backbone(plain), noise=noise)
    assert len(found) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert sum(float(one.abs().sum()) for one in found) > 0
    assert kept_by_input < kept / 2
    assert not any(module.training for module in plain.model.modules())


@pytest.mark.parametrize("model_type", WITHOUT_LAYERS)
def test_an_architecture_that_does_not_name_its_layers_is_told(model_type: str, prepared: Path) -> None:
    with pytest.raises(UserError, match=f"'{model_type}' do not say what their layers are; write gradient_checkpoint"):
        recomputing_backbone(dropping_backbone(model_type, prepared, RATE))


def test_a_stage_that_tunes_the_backbone_leaves_the_same_bytes(prepared: Path, tmp_path: Path) -> None:
    make_inputs(tmp_path, prepared)
    params = stage_params(executor="serial")
    found = []
    for recomputes in (False, True):
        settings = params.backbones[BACKBONE].model_copy(update={"gradient_checkpointing": recomputes})
        folder = tmp_path / str(recomputes)
        run_stage("fine_tuning", params.model_copy(update={"backbones": {BACKBONE: settings}}), tmp_path, folder)
        found.append(without_spent(bytes_below(folder / "results")))
    assert found[0] == found[1]
