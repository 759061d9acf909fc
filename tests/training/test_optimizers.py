"""The optimisers of recipes against their formulas."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from softprompt.config import Recipe
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.training.member import Member
from softprompt.training.optimizers import build_optimizer, clip_norm

DECAY = 1e-2


def member_of(start: Tensor, learning_rate: float) -> Member:
    nothing: Any = None
    trainable = Trainable(SoftPrompt(start, "identity"))
    return Member("one", nothing, learning_rate, nothing, nothing, nothing, trainable)


def adafactor(start: Tensor, gradients: list[Tensor], learning_rate: float) -> Tensor:
    """Shazeer and Stern 2018, algorithm 4, with the whole second moment: V = b V + (1 - b) G², U = G / sqrt(V)."""
    values, moment = start.clone(), torch.zeros_like(start)
    for step, gradient in enumerate(gradients, start=1):
        keep = 1 - step**-0.8
        moment = keep * moment + (1 - keep) * (gradient**2 + 1e-30)
        update = gradient / moment.sqrt()
        update /= max(1.0, float(update.square().mean().sqrt()))
        values = values - learning_rate * DECAY * values - learning_rate * update
    return values


@pytest.mark.parametrize("learning_rate", [0.3, 0.01])
def test_adafactor_keeps_second_moments_in_full(learning_rate: float) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, 7, generator=generator, dtype=torch.double)
    gradients = [torch.randn(5, 7, generator=generator, dtype=torch.double) for _ in range(4)]
    member = member_of(start, learning_rate)
    optimizer = build_optimizer([member], Recipe(optimizer="adafactor", weight_decay=DECAY))
    (parameter,) = member.trainable.parameters()
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(parameter.detach(), adafactor(start, gradients, learning_rate))


def test_clipping_is_that_of_pytorch_and_shortens_a_shared_gradient_once() -> None:
    generator = torch.Generator().manual_seed(1)
    gradients = [torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator)]
    for longest in (0.5, 1e6):
        ours, theirs = ([nn.Parameter(torch.zeros_like(one)) for one in (*gradients, gradients[1])] for _ in range(2))
        for mine, other, gradient in zip(ours, theirs, (*gradients, gradients[1]), strict=True):
            mine.grad, other.grad = gradient.view_as(gradient), gradient.clone()
        assert ours[1].grad is not None
        assert ours[2].grad is not None
        assert ours[1].grad.data_ptr() == ours[2].grad.data_ptr()
        clip_norm([*ours, nn.Parameter(torch.zeros(1))], longest)
        nn.utils.clip_grad_norm_(theirs, longest)
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.grad is not None
            torch.testing.assert_close(mine.grad, other.grad)
