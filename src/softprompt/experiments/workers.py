"""Independent pieces of work side by side on the cores of one machine.

Workers are forked, so that they share the loaded backbone and data without copying or importing anything again. Each
computes with one thread, so that a result never depends on how many there are. A GPU is used by one process.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar, cast

import torch

from softprompt.errors import UserError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_work: Callable[..., object] | None = None  # what forked workers find in their copy of this module


def map_unordered(
    work: Callable[[Item], Outcome], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Outcome]]:
    """(item, work(item)) for every item as it gets done. A worker dies with its parent.

    After an error no further item is begun. Raises UserError where a worker was killed.
    """
    workers = min(workers, len(items))
    if workers <= 1 or torch.cuda.is_available():
        yield from ((item, work(item)) for item in items)
        return
    global _work
    _work = work
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, _start_worker) as pool:
        try:
            waiting = {pool.submit(_call, item): item for item in items}
            for done in as_completed(waiting):
                yield waiting[done], cast(Outcome, done.result())
        except BrokenProcessPool:
            raise UserError(
                f"one of {workers} workers was killed, as a rule because memory ran out; lower device.workers or "
                "device.fleet_members and call it again: what is finished is kept"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _call(item: object) -> object:
    assert _work is not None
    return _work(item)


def _start_worker() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent says what happened
        signal.signal(number, signal.SIG_DFL)
    torch.set_num_threads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
