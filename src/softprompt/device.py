"""Which device trains and how it computes, decided once a stage."""

import os

import torch

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
