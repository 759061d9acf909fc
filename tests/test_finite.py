"""What is no number is found, wherever it stands and whatever the dtype."""

import math

import pytest
import torch

from softprompt.finite import not_finite


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_the_tensor_that_holds_it_is_named(number: float, dtype: torch.dtype) -> None:
    tensors = {"empty": torch.ones(0, 3), "tokens": torch.arange(4), "weight": torch.ones(3, 5, dtype=dtype)}
    tensors["largest"] = torch.full((2,), torch.finfo(dtype).max, dtype=dtype)
    assert not_finite(tensors.items()) == ""
    tensors["weight"][2, 4] = number
    assert not_finite(tensors.items()) == "weight"
