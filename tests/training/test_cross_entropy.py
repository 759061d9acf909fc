"""Cross-entropy in place is PyTorch's, to the bit."""

import pytest
import torch
from torch import nn

from softprompt.training.cross_entropy import ROWS, cross_entropy


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [1, ROWS, 2 * ROWS + 3])
@pytest.mark.parametrize("outputs", [3, 8, 1001])
def test_losses_and_gradients_are_those_of_pytorch(dtype: torch.dtype, rows: int, outputs: int) -> None:
    logits = 5 * torch.randn(rows, outputs, dtype=dtype)
    logits[:, 0] = float("-inf")  # an output that nobody may give
    target, weight = torch.randint(1, outputs, (rows,)), torch.rand(rows, dtype=dtype)
    found = []
    for loss_of in (cross_entropy, lambda *given: nn.functional.cross_entropy(*given, reduction="none")):
        given = logits.clone().requires_grad_()
        losses = loss_of(given, target)
        (losses * weight).sum().backward()
        found.append((losses.detach(), given.grad))
    (own, own_gradient), (theirs, their_gradient) = found
    assert torch.equal(own, theirs)
    assert torch.equal(own_gradient, their_gradient)
    assert own_gradient.abs().sum() > 0
