"""Independent pieces of work side by side on the cores of one machine.

Workers are forked, so that they share the loaded backbone and data without copying or importing anything again. Each
computes with one thread, so that a result never depends on how many there are. A GPU is used by one process.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar, cast

import torch

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_work: Callable[..., object] | None = None  # what forked workers find in their copy of this module


def map_unordered(
    work: Callable[[Item], Outcome], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Outcome]]:
    """(item, work(item)) for every item as it gets done. A worker dies with its parent."""
    workers = min(workers, len(items))
    if workers <= 1 or torch.cuda.is_available():
        yield from ((item, work(item)) for item in items)
        return
    global _work
    _work = work
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, _start_worker, (os.getpid(),)) as pool:
        waiting = {pool.submit(_call, item): item for item in items}
        for done in as_completed(waiting):
            yield waiting[done], cast(Outcome, done.result())


def _call(item: object) -> object:
    assert _work is not None
    return _work(item)


def _start_worker(parent: int) -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
