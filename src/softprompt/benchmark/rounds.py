"""Repetitions in turns: whatever else a machine does disturbs all sides alike, and ratios are taken within a round."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from softprompt.config import Frozen

LEAST = 3  # rounds
Outcome = TypeVar("Outcome")


class Spread(Frozen):
    """Median and quartiles over rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Four digits of each."""
    low, median, high = (float(f"{value:.4g}") for value in np.quantile(values, [0.25, 0.5, 0.75]))
    return Spread(median=median, low=low, high=high)


def in_turns(runs: Mapping[str, Callable[[], Outcome]], seconds: float) -> list[dict[str, Outcome]]:
    """Everyone once a round, in reverse order every second time, until `seconds` are over; at least LEAST rounds."""
    rounds: list[dict[str, Outcome]] = []
    started = time.perf_counter()
    while len(rounds) < LEAST or time.perf_counter() - started < seconds:
        order = sorted(runs, key=list(runs).index, reverse=len(rounds) % 2 == 1)
        rounds.append({name: runs[name]() for name in order})
    return rounds
