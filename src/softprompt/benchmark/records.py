"""What `make bench` measured: the content of reports/bench.json."""

import platform
from pathlib import Path
from typing import Literal

import torch

from softprompt.benchmark.rounds import Spread
from softprompt.benchmark.settings import Axis, MethodName, Shape
from softprompt.config import Frozen
from softprompt.files import write_atomically

Contender = Literal["peft_trainer", "fleet"]


class Speed(Frozen):
    """Training of one contender in one setting. Ratios are of the same round: `over_peer` of speeds, `of_limit` of the
    seconds that the bare products of a step take to those of the step."""

    shape: Shape
    size: str
    method: MethodName
    axis: Axis
    threads: int
    contender: Contender
    members: int
    rounds: int
    member_steps_per_second: Spread
    over_peer: Spread | None = None
    of_limit: Spread | None = None
    flops_per_second: float | None = None  # those of the plain products
    setup_seconds: float
    memory_bytes: int  # at its peak, beyond the frozen weights


class Probing(Frozen):
    """Facts asked in one setting."""

    shape: Shape
    size: str
    threads: int
    rounds: int
    facts_per_second: Spread
    naive_facts_per_second: Spread
    over_naive: Spread
    memory_bytes: int
    naive_memory_bytes: int


class Bench(Frozen):
    """A whole run. `load` is what the machine had to do on average of a minute, before it and after it."""

    kind: Literal["cpu", "cuda"]
    device: str
    threads: int
    versions: dict[str, str]
    load: tuple[float, float]
    seconds: float
    training: tuple[Speed, ...]
    probing: tuple[Probing, ...]

    def write(self, path: Path) -> None:
        """As JSON with a line a number."""
        write_atomically(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Bench":
        return cls.model_validate_json(path.read_bytes())


def device_name(device: torch.device) -> str:
    """Of the GPU, or the kind of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
