"""Numbers that are none: what holds a NaN or an infinity is neither saved nor loaded."""

from collections.abc import Iterable

import torch
from torch import Tensor


def not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """The name of the first tensor that holds a NaN or an infinity, or nothing. Each is read once and not copied."""
    names = (name for name, tensor in tensors if tensor.numel() and not all(map(torch.isfinite, tensor.aminmax())))
    return next(names, "")
