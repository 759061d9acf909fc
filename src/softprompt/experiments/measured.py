"""Wall seconds and peak memory of a piece of work."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

RESIDENT_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of what getrusage gives
RESET_PEAK = "5"  # proc(5): the peak resident set begins anew


@dataclass
class Spent:
    """Known when the work is done. The memory of a GPU is what tensors took; that of a CPU is the resident set of the
    process, its imports and the backbone included. Where the system cannot begin that peak anew (any but Linux), it is
    that of the process so far."""

    seconds: float = 0.0
    peak_memory_bytes: int = 0

    def __add__(self, later: "Spent") -> "Spent":
        return Spent(self.seconds + later.seconds, max(self.peak_memory_bytes, later.peak_memory_bytes))


@contextmanager
def measured(device: torch.device) -> Iterator[Spent]:
    """What is spent within the block."""
    spent, started = Spent(), time.perf_counter()
    _reset_peak(device)
    yield spent
    spent.seconds, spent.peak_memory_bytes = time.perf_counter() - started, _peak(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text(RESET_PEAK)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RESIDENT_UNIT
