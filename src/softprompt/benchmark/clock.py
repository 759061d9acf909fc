"""Seconds and memory of a training, whoever trains: told by the steps that its optimiser takes."""

import ctypes
import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from softprompt.experiments.measured import measured


@dataclass(frozen=True)
class Timed:
    """`memory_bytes` is the peak beyond what was there before, such as the frozen weights."""

    step_seconds: float
    setup_seconds: float = 0.0
    memory_bytes: int = 0


def timed_steps(train: Callable[[], object], steps: int, device: torch.device) -> Timed:
    """A step takes what lies between the end of the first one, in which buffers are made, and that of the last, spread
    over the steps between. All that comes before the end of the first, less a step, is setting up."""
    ends: list[float] = []

    def note() -> None:
        if len(ends) in (0, steps - 1):
            wait_for(device)
        ends.append(time.perf_counter())

    before, started = _let_go(device), time.perf_counter()
    with at_each_step(note), measured(device) as spent:
        train()
    if len(ends) != steps:
        raise RuntimeError(f"{len(ends)} optimiser steps were taken where {steps} were asked for")
    step = (ends[-1] - ends[0]) / (steps - 1)
    return Timed(step, max(0.0, ends[0] - started - step), spent.peak_memory_bytes - before)


def timed_once(work: Callable[[], object], device: torch.device, pieces: int = 1) -> Timed:
    """Work that is no training, by the piece."""
    before = _let_go(device)
    with measured(device) as spent:
        work()
        wait_for(device)
    return Timed(spent.seconds / pieces, memory_bytes=spent.peak_memory_bytes - before)


@contextmanager
def at_each_step(note: Callable[[], object]) -> Iterator[None]:
    """Within it, `note` is called whenever an optimiser has stepped."""

    def stepped(*_: object) -> None:
        note()

    handle = register_optimizer_step_post_hook(stepped)
    try:
        yield
    finally:
        handle.remove()


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _let_go(device: torch.device) -> int:
    """Give back what is no longer used, and say what is: tensors on a GPU; on a CPU what is resident of the process,
    or nothing where the system does not tell (any but Linux)."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return int(torch.cuda.memory_allocated(device))
    with suppress(AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
