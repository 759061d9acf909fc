"""A device whose memory ends: passes of more rows than it has room for raise what PyTorch raises on a GPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from softprompt.backbones.backbone import Backbone

MESSAGE = "CUDA out of memory. Tried to allocate 2.00 GiB."


def run_out(*_: object) -> None:
    raise torch.OutOfMemoryError(MESSAGE)


def with_room_for(rows: int, monkeypatch: pytest.MonkeyPatch, *, backward: bool) -> list[int]:
    """The rows of all passes from here on that went through. With `backward` memory ends on the way back only, where
    gradients of what lies behind the backbone are there already."""
    encode: Callable[..., Tensor] = Backbone.encode
    passed: list[int] = []

    def limited(backbone: Backbone, embeddings: Tensor, *others: Any, **named: Any) -> Tensor:
        too_many = len(embeddings) > rows
        if too_many and backward and embeddings.requires_grad:
            embeddings.register_hook(run_out)
        elif too_many:
            run_out()
        passed.append(len(embeddings))
        return encode(backbone, embeddings, *others, **named)

    monkeypatch.setattr(Backbone, "encode", limited)
    return passed
