"""What a device has memory for: asked before weights are loaded, fleets are planned, rows are passed.

On a CPU the settings hold as they are, so that a machine's memory never decides how its numbers round. On a GPU they
are upper ends: what does not fit is halved until it does, so that a little more or less that is free changes nothing.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from softprompt.backbones.size import ModelSize, size_of, tuned_bytes
from softprompt.config import Dtype
from softprompt.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

BYTES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2}
STORED_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # as safetensors names them
USABLE_SHARE = 0.8  # of what is free: the rest is left to what no formula sees
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
    needed, there = tuned_bytes(parameters, model.dtype.itemsize, device.type), memory_bytes(device)
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


def room_on(device: "torch.device") -> float | None:
    """Bytes that may be planned with: most of what a GPU has free or PyTorch holds in reserve; None on a CPU."""
    import torch

    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return USABLE_SHARE * (free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def room_beside(model: "PreTrainedModel") -> tuple[float, ModelSize] | None:
    """Room on the device of a loaded model, and the model's size, where both are known."""
    room = room_on(model.device)
    size = None if room is None else size_of(model)
    return None if room is None or size is None else (room, size)


def members_that_fit(most: int, rows: int, fitting: int) -> int:
    """As many members with so many rows each, at most `most`, as train in one pass of `fitting` rows. One of more rows
    than that takes several passes."""
    while most > 1 and most * rows > fitting:
        most //= 2
    return most


def rows_that_fit(row_bytes: float, room: float) -> int:
    """Of a pass: a power of two, so that a little more or less room cuts no batch elsewhere."""
    return 1 << max(1, int(room // row_bytes)).bit_length() - 1


def tokens_to_train(model: "PreTrainedModel", tokens: int, answer: int, reserved: float) -> int | None:
    """Padded tokens of a pass with gradients whose longest rows have `tokens`, beside `reserved` bytes that are still
    to be taken. None: any number."""
    known = room_beside(model)
    if known is None:
        return None
    room, size = known
    return tokens * rows_that_fit(size.training_bytes(tokens, answer, model.device.type), room - reserved)


def tokens_to_answer(model: "PreTrainedModel", most: int, tokens: int, answer: int) -> int:
    """Padded tokens of a pass without gradients, at most `most`, whose shortest rows have `tokens`."""
    known = room_beside(model)
    if known is None:
        return most
    room, size = known
    return min(most, tokens * rows_that_fit(size.answering_bytes(tokens, answer), room))
