"""The executor that params.yaml names."""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace

import torch

from softprompt.config import Params
from softprompt.errors import UserError
from softprompt.experiments.assignment import Assignment
from softprompt.experiments.dependencies import task_dependencies
from softprompt.experiments.executors import Executor
from softprompt.experiments.executors.gpus import GpuExecutor, seats
from softprompt.experiments.executors.local import LocalExecutor
from softprompt.experiments.fleet_training import FleetTrainer
from softprompt.experiments.workload import Workload
from softprompt.methods.base import TrainedMethod
from softprompt.paths import Paths

ADDRESS = "RAY_ADDRESS"


@contextmanager
def open_executor(workload: Workload, method: TrainedMethod, paths: Paths) -> Iterator[Executor]:
    """For the fleets of one stage, as long as the block lasts."""
    with closing(_executor(workload, method, paths)) as executor:
        yield executor


def _executor(workload: Workload, method: TrainedMethod, paths: Paths) -> Executor:
    params, device = workload.params, workload.factory.backbone.device
    chosen = params.execution.executor
    if chosen in ("serial", "processes"):
        trainer = FleetTrainer(method, workload.data, params.chosen_budget, params.device)
        forks = params.device.workers if chosen == "processes" and device.type == "cpu" else 1  # a GPU is used by one
        return LocalExecutor(trainer, forks)
    if chosen == "gpus":
        if device.type != "cuda":
            raise UserError(f"execution.executor is gpus, but the device is {device.type}; write executor: processes")
        there = seats(torch.cuda.device_count(), params.execution.gpus_each)
        if not there:
            raise UserError(f"execution.gpus_each is more than the {torch.cuda.device_count()} GPUs that are here")
        return GpuExecutor(assignment_of(workload, paths), there)
    return _on_ray(assignment_of(workload, paths), params, device)


def assignment_of(workload: Workload, paths: Paths) -> Assignment:
    """What other processes are told of a stage."""
    factory, absolute = workload.factory, replace(paths, root=paths.root.resolve())
    depends_on = {key: task_dependencies(factory.name, data) for key, data in workload.data.items()}
    return Assignment(workload.params, factory.name, factory.backbone.name, absolute, depends_on)


def _on_ray(assignment: Assignment, params: Params, device: torch.device) -> Executor:
    address = params.execution.address or os.environ.get(ADDRESS)
    if not address:
        raise UserError(
            f"execution.executor is ray, but neither execution.address nor {ADDRESS} says where the cluster is; "
            "on one of its machines write address: auto"
        )
    try:
        from softprompt.experiments.executors.on_ray import RayExecutor
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise UserError("execution.executor is ray, which is not here: pip install 'softprompt[ray]'") from None
    takes: Mapping[str, float] = {"num_gpus": params.execution.gpus_each, "num_cpus": 0}
    return RayExecutor(assignment, {"num_cpus": 1} if device.type == "cpu" else takes, address)
