"""What a backbone's weights need in memory, and what a device has: asked before anything is loaded."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from softprompt.config import Dtype
from softprompt.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

BYTES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2}
STORED_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # as safetensors names them
TUNING_BYTES = 16  # a parameter that trains: itself, its gradient and Adam's two moments, in float32
GIB = 1024**3


def parameters_in(folder: Path) -> int:
    """How many numbers the weights in a model folder are; pickled ones are taken for float32."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return sum(path.stat().st_size for path in folder.glob("pytorch_model*.bin")) // STORED_BYTES["F32"]
    return sum(_numbers_in(path) for path in files)


def _numbers_in(path: Path) -> int:
    """From the header alone: its length in eight bytes, then JSON that gives each tensor's dtype and place."""
    with path.open("rb") as handle:
        header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    return sum(
        (entry["data_offsets"][1] - entry["data_offsets"][0]) // STORED_BYTES.get(entry["dtype"], 1)
        for entry in tensors
    )


def no_room_to_tune(model: "PreTrainedModel") -> str:
    """Why a copy of a model cannot train beside the frozen one, activations not counted, or nothing."""
    device, parameters = model.device, model.num_parameters()
    needed, there = parameters * (model.dtype.itemsize + TUNING_BYTES), memory_bytes(device)
    if needed <= there:
        return ""
    return (
        f"tuning its {parameters / 1e6:,.0f} million weights needs {needed / GIB:,.0f} GiB, "
        f"the {device.type} device has {there / GIB:,.0f} GiB"
    )


def main_memory_bytes() -> int:
    """The machine's main memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_bytes(device: "torch.device") -> int:
    """All the memory of a device; on a CPU the machine's main memory."""
    import torch  # `softprompt plan` asks for main memory without it

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return main_memory_bytes()


def refuse_too_large(name: str, folder: Path, device: "torch.device", dtype: Dtype) -> None:
    """Raises UserError where the weights alone would not fit into the device's memory."""
    needed, there = parameters_in(folder) * BYTES[dtype], memory_bytes(device)
    if needed > there:
        advice = "write dtype: bfloat16, or " if dtype == "float32" else ""
        raise UserError(
            f"backbones.{name}: its weights need {needed / GIB:.1f} GiB as {dtype}, but the {device.type} device has "
            f"{there / GIB:.1f} GiB; {advice}take {name} out of run.backbones"
        )
