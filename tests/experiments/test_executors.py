"""Whoever trains the fleets of a stage, and wherever: the same bytes, told from the same place."""

import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.light_work import LightBrief, begun, job
from helpers.trained_stages import bytes_below, make_inputs, run_stage, stage_params, without_spent
from softprompt.config import Execution, Params
from softprompt.config.parsing import parse_section
from softprompt.errors import UserError
from softprompt.experiments import train
from softprompt.experiments.assignment import Assignment
from softprompt.experiments.executors import opening
from softprompt.experiments.executors.gpus import VISIBLE, GpuExecutor, seats
from softprompt.paths import Paths

METHODS = ("prompt_tuning", "fine_tuning")  # a frozen and a tuned backbone

pytestmark = pytest.mark.xdist_group("executors")  # one worker makes what the module shares


@pytest.fixture(scope="module")
def inputs(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder, prepared)
    return folder


@pytest.fixture(scope="module")
def serial(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """What a method leaves that is trained in this process."""
    done: dict[str, dict[str, bytes]] = {}

    def results_of(method: str) -> dict[str, bytes]:
        if method not in done:
            folder = tmp_path_factory.mktemp(method)
            run_stage(method, stage_params(executor="serial"), inputs, folder)
            done[method] = without_spent(bytes_below(folder / "results"))
        return done[method]

    return results_of


@pytest.mark.parametrize("method", METHODS)
def test_forks_leave_the_same_bytes(
    method: str, inputs: Path, serial: Callable[[str], dict[str, bytes]], tmp_path: Path
) -> None:
    run_stage(method, stage_params(executor="processes"), inputs, tmp_path)
    assert without_spent(bytes_below(tmp_path / "results")) == serial(method)


def test_spawned_processes_leave_the_same_bytes(
    inputs: Path, serial: Callable[[str], dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on GPUs, which here are two that nobody asks for."""

    def on_two_gpus(workload: Any, method: Any, paths: Paths) -> Any:  # noqa: ARG001
        return closing(GpuExecutor(opening.assignment_of(workload, paths), ["0", "1"]))

    monkeypatch.setattr(train, "open_executor", on_two_gpus)
    run_stage("prompt_tuning", stage_params(), inputs, tmp_path)
    assert without_spent(bytes_below(tmp_path / "results")) == serial("prompt_tuning")


def test_each_process_sees_one_gpu_and_keeps_it(tmp_path: Path) -> None:
    with closing(GpuExecutor(LightBrief(tmp_path), ["3", "5"])) as executor:
        trained: list[Any] = [
            one for _ in range(2) for one in executor.train([[job("0 done 2")], [job("1 done 2")]], keep=True)
        ]
    assert {gpu for *_, gpu in trained} == {"3", "5"}
    assert len({(process, gpu) for *_, process, gpu in trained}) == 2


@pytest.mark.parametrize(
    ("fate", "message"), [("killed", "one of the workers was killed"), ("refused", "disk is full")]
)
def test_what_a_process_meets_is_told_here(fate: str, message: str, tmp_path: Path) -> None:
    with closing(GpuExecutor(LightBrief(tmp_path), ["0"])) as executor, pytest.raises(UserError, match=message):
        list(executor.train([[job(f"0 {fate}")], *([job(f"{number} done")] for number in range(1, 9))], keep=False))
    assert len(begun(tmp_path)) < 5


@pytest.mark.parametrize(
    ("listed", "gpus_each", "expected"),
    [
        (None, 1.0, ["0", "1", "2"]),
        ("5,6,7", 1.0, ["5", "6", "7"]),
        ("GPU-a,GPU-b,GPU-c", 2.0, ["GPU-a,GPU-b"]),
        (None, 0.5, ["0", "0", "1", "1", "2", "2"]),
        (None, 4.0, []),
    ],
)
def test_gpus_keep_the_names_that_they_have_here(
    listed: str | None, gpus_each: float, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    if listed:
        monkeypatch.setenv(VISIBLE, listed)
    assert seats(3, gpus_each) == expected


def test_a_worker_that_would_train_with_something_else_refuses(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assigned: list[Assignment] = []

    def keep(workload: Any, method: Any, paths: Paths) -> Any:  # noqa: ARG001
        assigned.append(opening.assignment_of(workload, paths))
        return nullcontext(opening.LocalExecutor(assigned[0].trainer(), 1))

    monkeypatch.setattr(train, "open_executor", keep)
    run_stage("prompt_tuning", stage_params(), inputs, inputs)
    (asked,) = assigned
    (key,) = asked.depends_on
    other = replace(asked, depends_on={key: {**asked.depends_on[key], "code": "other", "data": "other"}})
    with pytest.raises(UserError, match=r"would train fewglue/rte with another code, data than"):
        other.trainer().data[key]


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ({"executor": "gpus"}, "executor is gpus, but the device is cpu"),
        ({"executor": "ray"}, "neither execution.address nor RAY_ADDRESS"),
        ({"executor": "ray", "address": "auto"}, "which is not here: pip install"),
    ],
)
def test_an_executor_that_cannot_be_says_why(
    execution: dict[str, str], message: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(opening.ADDRESS, raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "softprompt.experiments.executors.on_ray", raising=False)
    with pytest.raises(UserError, match=message):
        run_stage("prompt_tuning", stage_params(**execution), inputs, tmp_path)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"executor": "slurm"}, "execution.executor is 'slurm'"),
        ({"executor": "ray", "gpus_each": 1.5}, "a share such as 0.5, or a whole number"),
        ({"executor": "processes", "address": "auto"}, "address belongs to executor: ray"),
        ({"gpus_each": 0.5}, "gpus_each belongs to executor: gpus or ray"),
    ],
)
def test_impossible_settings_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_section(Execution, section, "execution.")


def test_the_default_is_processes() -> None:
    assert Execution().executor == "processes"
    assert Params.model_fields["execution"].is_required()
