"""Which device trains, decided once a stage, and how small numbers get there without anybody waiting."""

from collections.abc import Sequence

import torch
from jaxtyping import Shaped
from torch import Tensor

from softprompt.config import Device
from softprompt.errors import UserError


def choose_device(settings: Device, *, threads: int) -> torch.device:
    """The device of `device.type`; `auto` takes a GPU where there is one. Sets PyTorch's CPU threads."""
    torch.set_num_threads(threads)
    if settings.type == "cuda" and not torch.cuda.is_available():
        raise UserError("device.type is cuda, but PyTorch finds no GPU; write device.type: auto or cpu")
    if settings.type == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.type)


def uploaded(numbers: Sequence[Shaped[Tensor, "_"]], device: torch.device) -> list[Shaped[Tensor, "_"]]:
    """The same on the device, all in one copy. A GPU copies from pinned memory by itself, while the host goes on."""
    together = torch.cat(list(numbers))
    pinned = together.pin_memory() if device.type == "cuda" else together
    return list(torch.split(pinned.to(device, non_blocking=True), [len(one) for one in numbers]))
