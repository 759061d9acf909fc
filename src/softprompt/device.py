"""Which device trains, decided once a stage."""

import torch

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
