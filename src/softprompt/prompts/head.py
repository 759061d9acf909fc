"""Classification heads of all members of a fleet in one pass."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def fleet_heads(
    heads: Sequence[nn.Linear], hidden: Float[Tensor, "R H"], member: Int[Tensor, "R"]
) -> Float[Tensor, "R W"]:
    """Logits of every row under its own member's head; heads with fewer classes are padded."""
    width = max(head.out_features for head in heads)
    weight = torch.stack([nn.functional.pad(head.weight, (0, 0, 0, width - head.out_features)) for head in heads])
    bias = torch.stack([nn.functional.pad(head.bias, (0, width - head.out_features)) for head in heads])
    return torch.einsum("rh,rwh->rw", hidden, weight[member]) + bias[member]
