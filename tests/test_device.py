"""How a GPU is made to compute, as far as it can be seen without one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.backbones import tiny_backbone
from helpers.paths import ROOT
from helpers.profiles import fixture_params
from helpers.task_data import task_data, task_of
from softprompt.config import Budget, Device
from softprompt.device import choose_device, device_name
from softprompt.experiments.dependencies import task_dependencies
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import train_members
from softprompt.methods import METHODS, TrainedMethod, build_method

SECTIONS = fixture_params().methods
TRAINED = sorted(name for name, one in METHODS.items() if issubclass(one, TrainedMethod) and name != "ipet")
BUDGET = Budget(trials=2, steps=6, batch_size=4, eval_every=3, patience=2)
SETTLED = """
import json, os, sys, torch
torch.cuda.is_available = lambda: True
from softprompt.config import Device
from softprompt.device import choose_device, device_name
device = choose_device(Device(deterministic=json.loads(sys.argv[1])), threads=1)
torch.cuda.get_device_name = lambda _: "NVIDIA H200"
print(json.dumps({
    "device": device.type, "name": device_name(device), "repeatable": torch.are_deterministic_algorithms_enabled(),
    "only warns": torch.is_deterministic_algorithms_warn_only_enabled(), "begun": torch.cuda.is_initialized(),
    "LSTM in TF32": torch.backends.cudnn.allow_tf32, "products in TF32": torch.backends.cuda.matmul.allow_tf32,
    "cuBLAS": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
}))
"""
PLAIN = {"device": "cuda", "only warns": False, "begun": False, "LSTM in TF32": False, "products in TF32": False}
EXPECTED = {
    True: {**PLAIN, "name": "cuda NVIDIA H200", "repeatable": True, "cuBLAS": ":4096:8"},
    False: {**PLAIN, "name": "cuda NVIDIA H200, not deterministic", "repeatable": False, "cuBLAS": None},
}


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_repeats_itself_unless_it_is_told_not_to(deterministic: bool) -> None:
    """In a process of its own, and before the GPU is used: cuBLAS reads its variable once."""
    surroundings = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SETTLED, json.dumps(deterministic)],
        env=surroundings | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED[deterministic]


def test_on_a_cpu_nothing_is_settled_and_no_key_changes(prepared: Path) -> None:
    assert choose_device(Device(type="cpu"), threads=1) == torch.device("cpu")
    assert not torch.are_deterministic_algorithms_enabled()
    data = task_data(prepared, tiny_backbone("bert", prepared), "lama", "P19")
    assert task_dependencies("manual", data)["device"] == "cpu"


def test_types_of_gpu_have_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["NVIDIA H200", "NVIDIA A100"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: next(names))
    first, second = (device_name(torch.device("cuda", number)) for number in range(2))
    assert len({first, second, "cuda", "cpu"}) == 4


# What raises on a GPU that is to repeat itself: torch.use_deterministic_algorithms says so of these.
REFUSED = (
    *("adaptive_avg_pool2d_backward", "adaptive_avg_pool3d_backward", "adaptive_max_pool2d_backward"),
    *("avg_pool3d_backward", "max_unpool", "reflection_pad", "nll_loss2d", "ctc_loss", "embedding_bag", "put"),
    *("upsample_linear", "upsample_bilinear", "upsample_bicubic", "upsample_trilinear", "grid_sampler"),
    *("histc", "median", "kthvalue"),
)


class Operators(TorchDispatchMode):
    """Collects those that have no form that repeats itself on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.__name__.partition(".")[0]
        self.seen.add(name)
        given = {"weights": args[1] if len(args) > 1 else None, **(kwargs or {})}
        weighed = name == "bincount" and given["weights"] is not None
        summed = name in ("cumsum", "cumsum_") and isinstance(args[0], Tensor) and args[0].is_floating_point()
        by_product = name.startswith("scatter_reduce") and "prod" in args
        if weighed or summed or by_product or name.strip("_").startswith(REFUSED):
            self.refused.add(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("place", "name"), list(enumerate(TRAINED)))
def test_no_method_needs_what_a_repeating_gpu_refuses(place: int, name: str, prepared: Path) -> None:
    backbone = tiny_backbone(("bert", "gpt2", "t5")[place % 3], prepared)
    method = build_method(name, SECTIONS[name])
    assert isinstance(method, TrainedMethod)
    suite, task = ("superglue", "rte") if method.together or name == "pet" else ("lama", "P19")
    if method.inapplicable(task_of(suite, task, prepared), backbone):
        backbone = tiny_backbone("bert", prepared)
    data = task_data(prepared, backbone, suite, task, head=method.uses_head(task_of(suite, task, prepared)))
    chosen = {setting: method.settings.values_of(setting)[0] for setting in method.settings.search}
    jobs = [Job(str(seed), f"member-{seed}", data.task.key, seed, chosen, 0, "") for seed in range(2)]
    with Operators() as operators:
        train_members(method, {data.task.key: data}, jobs if method.state == "frozen" else jobs[:1], BUDGET, 600)
    assert {"index", "_log_softmax"} & operators.seen
    assert operators.refused == set()


def test_what_is_refused_would_be_seen() -> None:
    with Operators() as operators:
        torch.rand(3).cumsum(0), torch.arange(3).cumsum(0), torch.rand(3).histc(), torch.arange(3).bincount()
        torch.arange(3).bincount(weights=torch.rand(3))
    assert operators.refused == {"cumsum", "histc", "bincount"}
