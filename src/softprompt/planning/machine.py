"""The machine that a plan is for: its device, its memory, its speed as measured or assumed."""

import json
import platform
from dataclasses import dataclass
from pathlib import Path

from softprompt.backbones.memory import main_memory_bytes
from softprompt.backbones.size import ModelSize
from softprompt.config import Device

ASSUMED_FLOPS = {"cuda": 4e13, "cpu": 4e10}  # a second; of a CPU each thread
BENCH = {"layers": 4, "hidden_size": 256, "vocabulary": 50257, "rows": 8, "tokens": 18}  # what `make bench` trains
BENCH_MEMBERS = "16"


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
    """What `make bench` reached with one CPU thread, or on the GPU."""
    if not bench.is_file():
        return None
    body = 12 * BENCH["layers"] * BENCH["hidden_size"] ** 2
    size = ModelSize(body + BENCH["vocabulary"] * BENCH["hidden_size"], BENCH["layers"], BENCH["hidden_size"])
    for run in json.loads(bench.read_text())["runs"]:
        on_cpu = run["device"] == platform.machine()
        if on_cpu == (kind == "cpu") and (not on_cpu or run["threads"] == 1):
            speed = run["fleet_member_steps_per_second"][BENCH_MEMBERS]
            return float(speed) * size.step_flops(BENCH["rows"], BENCH["tokens"], tuned=False)
    return None
