"""The machine that a plan is for: its device, its memory, its speed as measured or assumed."""

import json
import platform
from dataclasses import dataclass
from pathlib import Path

from softprompt.backbones.memory import main_memory_bytes
from softprompt.config import Device

ASSUMED_FLOPS = {"cuda": 4e13, "cpu": 4e10}  # a second; of a CPU each thread
# of what `make bench` trains: on a CPU what a worker reaches with its one thread
BENCH: dict[str, object] = {
    "contender": "fleet",
    "axis": "members",
    "shape": "gpt2",
    "method": "prompt_tuning",
    "members": 16,
}
ON: dict[str, dict[str, object]] = {"cpu": {"size": "mini", "threads": 1}, "cuda": {"size": "base"}}


@dataclass(frozen=True)
class Machine:
    """`flops` is what training reaches a second in all; `basis` says where that number is from."""

    kind: str  # cuda or cpu
    name: str
    memory_bytes: float
    processes: int  # that train side by side, each with its own batch
    flops: float
    basis: str


def describe_machine(device: Device, bench: Path) -> Machine:
    """The device that `device.type` would choose here."""
    import torch  # the methods have imported it anyway

    on_gpu = device.type != "cpu" and torch.cuda.is_available()
    kind = "cuda" if on_gpu else "cpu"
    processes = 1 if on_gpu else device.workers
    measured = _measured_flops(bench, kind)
    if on_gpu:
        properties = torch.cuda.get_device_properties(0)
        name, memory = properties.name, float(properties.total_memory)
    else:
        name, memory = platform.machine(), float(main_memory_bytes())
    what = f"{measured or ASSUMED_FLOPS[kind]:.1e} operations/s" + ("" if on_gpu else " a process")
    basis = f"{what}, {'from reports/bench.json' if measured else 'assumed: make bench measures it'}"
    return Machine(kind, name, memory, processes, (measured or ASSUMED_FLOPS[kind]) * processes, basis)


def _measured_flops(bench: Path, kind: str) -> float | None:
    """What a fleet reached in `make bench`, on a machine of this kind."""
    content = json.loads(bench.read_text()) if bench.is_file() else {}
    if content.get("kind") != kind or (kind == "cpu" and content["device"] != platform.machine()):
        return None
    wanted = (BENCH | ON[kind]).items()
    return next((float(one["flops_per_second"]) for one in content["training"] if wanted <= one.items()), None)
