"""Which device trains and how it computes, decided once a stage, and how small numbers get there without a wait."""

import os
from collections.abc import Sequence

import torch
from jaxtyping import Shaped
from torch import Tensor

from softprompt.config import Device
from softprompt.errors import UserError


def choose_device(settings: Device, *, threads: int) -> torch.device:
    """The device of `device.type`; `auto` takes a GPU where there is one. Sets PyTorch's CPU threads, and on a GPU how
    it computes."""
    torch.set_num_threads(threads)
    if settings.type == "cuda" and not torch.cuda.is_available():
        raise UserError("device.type is cuda, but PyTorch finds no GPU; write device.type: auto or cpu")
    if settings.type == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    _settle_arithmetic(deterministic=settings.deterministic)
    return torch.device("cuda")


def device_name(device: torch.device) -> str:
    """What decides how results round, for their content keys: `cpu`, or a type of GPU."""
    if device.type != "cuda":
        return device.type
    repeatable = torch.are_deterministic_algorithms_enabled()
    return f"{device.type} {torch.cuda.get_device_name(device)}{'' if repeatable else ', not deterministic'}"


def _settle_arithmetic(*, deterministic: bool) -> None:
    """Call before the GPU is used. cuDNN's LSTM, which a prompt alone goes through, computes in float32 as a fleet's
    matrix products do, where its default is TF32."""
    torch.backends.cudnn.allow_tf32 = False
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it starts
        # nothing here reads what was never written
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(deterministic)


def uploaded(numbers: Sequence[Shaped[Tensor, "_"]], device: torch.device) -> list[Shaped[Tensor, "_"]]:
    """The same on the device, all in one copy. A GPU copies from pinned memory by itself, while the host goes on."""
    together = torch.cat(list(numbers))
    pinned = together.pin_memory() if device.type == "cuda" else together
    return list(torch.split(pinned.to(device, non_blocking=True), [len(one) for one in numbers]))
