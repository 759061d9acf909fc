"""The whole programme of `make bench`, each part with the seconds that it may take on a CPU."""

import gc
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import torch

from softprompt.benchmark.contests import Arena
from softprompt.benchmark.records import Bench, Probing, Speed, device_name
from softprompt.benchmark.settings import BASE, MINI, TOKENS, Lane, MethodName, Setting, Shape

WIDE = 16  # as `device.fleet_members`
WIDTHS = (1, 2, 4, 8, WIDE, 32, 64)
MANY = (4, WIDE, 64)  # tasks or trials
METHODS: tuple[MethodName, ...] = ("prompt_tuning", "prefix_tuning", "p_tuning")
SHAPES: tuple[Shape, ...] = ("gpt2", "bert")
# on a CPU a base-sized step fills the machine with few members, and takes seconds with many
BASE_WIDTHS = {"cpu": (1, 4), "cuda": (1, WIDE, 64)}
# a task's rows and a trial's prompt are of various lengths, those of `Lane()` on average
OF_TASKS = tuple(Lane(tokens=TOKENS + more) for more in (-6, -2, 2, 6))
OF_TRIALS = tuple(Lane(prompt=length) for length in (1, 4, 8, 11))
SECONDS = {"widths": 24.0, "method": 9.0, "base": 15.0, "axis": 14.0, "thread": 10.0, "probing": 6.0}

log = logging.getLogger(__name__)


def measure(device: torch.device) -> Bench:
    """Everything in one run."""
    started, before = time.perf_counter(), os.getloadavg()[0]
    gc.freeze()  # what is imported stays: between contenders only their own remains are looked for
    training: list[Speed] = []
    probing: list[Probing] = []
    for shape in SHAPES:
        for size, program in ((MINI, _of_mini(shape)), (BASE, _of_base(shape, device))):
            arena = Arena(shape, size, device)
            for setting, seconds in program:
                log.info("%s, %s, %s, %s", shape, size.name, setting.method, setting.axis)
                training += arena.train(setting, seconds)
            if (shape, size, device.type) == ("gpt2", MINI, "cpu") and torch.get_num_threads() > 1:
                with _threads(1):
                    training += arena.train(Setting(shape, size, "prompt_tuning", (1, WIDE)), SECONDS["thread"])
            probing.append(arena.probe(SECONDS["probing"]))
    return Bench(
        kind="cuda" if device.type == "cuda" else "cpu",
        device=device_name(device),
        threads=torch.get_num_threads(),
        versions={package: version(package) for package in ("torch", "transformers", "peft")},
        load=(round(before, 1), round(os.getloadavg()[0], 1)),
        seconds=round(time.perf_counter() - started),
        training=tuple(training),
        probing=tuple(probing),
    )


def _of_mini(shape: Shape) -> Iterator[tuple[Setting, float]]:
    for method in METHODS:
        every = method == "prompt_tuning"
        yield Setting(shape, MINI, method, WIDTHS if every else (1, WIDE)), SECONDS["widths" if every else "method"]
    if shape == "bert":
        yield Setting(shape, MINI, "p_tuning", MANY, "tasks", OF_TASKS), SECONDS["axis"]
    else:
        yield Setting(shape, MINI, "prompt_tuning", MANY, "trials", OF_TRIALS), SECONDS["axis"]


def _of_base(shape: Shape, device: torch.device) -> Iterator[tuple[Setting, float]]:
    return ((Setting(shape, BASE, method, BASE_WIDTHS[device.type]), SECONDS["base"]) for method in METHODS)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
