"""Independent pieces of work side by side in processes of one machine.

Forked workers share the loaded backbone and data without copying or importing anything again. Each computes with one
thread, so that a result never depends on how many there are.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar, cast

import torch

from softprompt.errors import UserError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_work: Callable[..., object] | None = None  # what forked workers find in their copy of this module


def map_unordered(
    work: Callable[[Item], Outcome], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Outcome]]:
    """(item, work(item)) for every item as it gets done, in forks of this process. A worker dies with its parent.

    After an error no further item is begun. Raises UserError where a worker was killed.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from ((item, work(item)) for item in items)
        return
    global _work
    _work = work
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), begin_worker) as pool:
        yield from cast(Iterator[tuple[Item, Outcome]], outcomes(pool, _call, items))


def outcomes(
    pool: ProcessPoolExecutor, work: Callable[[Item], Outcome], items: Sequence[Item]
) -> Iterator[tuple[Item, Outcome]]:
    """As `map_unordered`, by the workers of a pool."""
    with _signals_held():  # this is where workers start
        waiting = {pool.submit(work, item): item for item in items}
    try:
        for done in as_completed(waiting):
            yield waiting.pop(done), done.result()  # taken out, so that what was used up can go
    except BrokenProcessPool:
        raise UserError(
            "one of the workers was killed, as a rule because memory ran out; lower device.fleet_members, or on a CPU "
            "device.workers, and call it again: what is finished is kept"
        ) from None
    finally:
        for future in waiting:
            future.cancel()


def _call(item: object) -> object:
    assert _work is not None
    return _work(item)


def begin_worker() -> None:
    """What a worker does first: signals end it without a word, and so does the end of its parent."""
    for number in SIGNALS:  # the parent says what happened
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    torch.set_num_threads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals come after the block, and to what starts in it once it is ready for them: it inherits that they wait."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
