"""Fleets on the workers of a Ray cluster. The only module that imports ray.

A worker is an actor that loads the backbone once. Which fleet goes where is decided here, one at a time, so that a
worker or a node that is lost costs the fleets that it was at, and no other. Nothing large is imported before a worker
has seen to its surroundings.
"""

import logging
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from softprompt.errors import UserError, reason_of
from softprompt.quiet import keep_quiet

if TYPE_CHECKING:
    from softprompt.experiments.executors import Brief, Trainer
    from softprompt.experiments.fleet_training import TrainedFleet
    from softprompt.experiments.jobs import Job

logger = logging.getLogger(__name__)

LOST = (RayActorError, NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError)
ATTEMPTS = 3  # at a fleet whose workers are lost
LOOK_SECONDS = 5.0  # between looks at which nodes there are
ANSWER_SECONDS = 10.0  # that a cluster may take to say that it is there


class _Worker:
    """In a process of its own, wherever Ray puts it."""

    def __init__(self, brief: "Brief") -> None:
        keep_quiet()
        self.brief = brief
        self.trainer: Trainer | None = None

    def prepare(self) -> str:
        """Load what it works with. The id of the node that it is on."""
        self.trainer = self.brief.trainer()
        return str(ray.get_runtime_context().get_node_id())

    def train(self, jobs: "Sequence[Job]", keep: bool) -> "TrainedFleet":
        assert self.trainer is not None
        return self.trainer.train(jobs, keep=keep)


@dataclass(frozen=True)
class _Placed:
    """A worker that is ready, and the id of the node that it is on."""

    worker: Any
    node: str


class RayExecutor:
    """As many workers as the cluster has places for, each of which `takes` so much: {"num_gpus": 0.5}.

    Nodes may leave and join. Raises UserError where there is no cluster at the address, or no place in it.
    """

    def __init__(self, brief: "Brief", takes: Mapping[str, float], address: str) -> None:
        _connect(address)
        self._brief = brief
        self._takes = takes
        self._starting: dict[Any, Any] = {}  # workers by what will say that they are ready
        self._idle: list[_Placed] = []
        self._waiting: deque[Sequence[Job]] = deque()
        self._running: dict[Any, tuple[_Placed, Sequence[Job]]] = {}  # by what will be the trained fleet
        self._lost: Counter[str] = Counter()
        if not places(ray.nodes(), takes):
            self.close()
            raise UserError(f"no node of the Ray cluster at {address} has {_named(takes)} for a worker")

    def train(self, fleets: "Sequence[Sequence[Job]]", *, keep: bool) -> "Iterator[TrainedFleet]":
        """Each fleet once, whatever becomes of the worker that was first at it."""
        self._waiting, self._running = deque(fleets), {}
        while self._waiting or self._running:
            self._see_to_workers()
            self._hand_out(keep=keep)
            for done in self._ended():
                placed, jobs = self._running.pop(done)
                try:
                    trained = _got(done)
                except LOST as error:
                    self._count_loss(jobs[0].key, error)
                    self._waiting.appendleft(jobs)
                    continue
                self._idle.append(placed)
                self._hand_out(keep=keep)  # nobody waits until this one is on disk
                yield trained

    def close(self) -> None:
        """The workers end with the connection."""
        ray.shutdown()

    def _see_to_workers(self) -> None:
        """Forget those that idled on a node which has gone, and start as many more as there are places and fleets
        for."""
        nodes = ray.nodes()
        alive = {node["NodeID"] for node in nodes if node["Alive"]}
        self._idle = [placed for placed in self._idle if placed.node in alive]
        wanted = min(len(self._waiting) + len(self._running), places(nodes, self._takes))
        for _ in range(wanted - len(self._running) - len(self._idle) - len(self._starting)):
            worker = ray.remote(_Worker).options(scheduling_strategy="SPREAD", **self._takes).remote(self._brief)
            self._starting[worker.prepare.remote()] = worker

    def _hand_out(self, *, keep: bool) -> None:
        while self._waiting and self._idle:
            placed, jobs = self._idle.pop(), self._waiting.popleft()
            self._running[placed.worker.train.remote(jobs, keep)] = placed, jobs

    def _ended(self) -> list[Any]:
        """The next fleet that ended, well or not, if one does soon; workers that got ready become idle."""
        awaited = [*self._running, *self._starting]
        if not awaited:  # every node has gone; others may come
            time.sleep(LOOK_SECONDS)
            return []
        ended, _ = ray.wait(awaited, timeout=LOOK_SECONDS)
        for ready in [one for one in ended if one in self._starting]:
            worker = self._starting.pop(ready)
            try:
                self._idle.append(_Placed(worker, _got(ready)))
                self._lost[""] = 0
            except LOST as error:
                self._count_loss("", error)
        return [one for one in ended if one in self._running]

    def _count_loss(self, what: str, error: Exception) -> None:
        """Of the worker that was at a fleet, or, without a name, of one that was getting ready."""
        self._lost[what] += 1
        logger.warning("a worker was lost: %s", reason_of(error))
        if self._lost[what] == ATTEMPTS:
            place = "at the same fleet" if what else "in a row while they loaded the backbone"
            raise UserError(
                f"{ATTEMPTS} workers were lost {place}, the last of them so: {reason_of(error)}; give them more "
                "memory, or lower device.fleet_members, and call it again: what is finished is kept"
            )


def places(nodes: Sequence[Mapping[str, Any]], takes: Mapping[str, float]) -> int:
    """How many workers find room on the nodes that are alive, if nobody else is there. Shares of a GPU are shares of
    one and the same."""
    name, share = ("GPU", takes["num_gpus"]) if "num_gpus" in takes else ("CPU", takes["num_cpus"])
    there = [int(node["Resources"].get(name, 0)) for node in nodes if node["Alive"]]
    return sum(units * int(1 / share) if share <= 1 else units // int(share) for units in there)


def _connect(address: str) -> None:
    """Ray would end the process in its own way on a signal: what stages do stays in place. It would also wait for
    minutes where nobody answers."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    host, _, port = address.rpartition(":")
    try:
        if port.isdecimal():
            socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"no Ray cluster can be reached at {address} ({reason_of(error)})") from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _got(done: Any) -> Any:
    """What a worker gave back. What a user is to read is raised as if it had been raised here."""
    try:
        return ray.get(done)
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise


def _named(takes: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {name.removeprefix('num_')}" for name, amount in takes.items())
