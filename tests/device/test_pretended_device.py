"""Every method trains and answers on a device that takes nothing from the CPU unasked, and a step costs no more than
it has to: operators, copies to the device, and waits for it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.backbones import BACKBONE_TYPES
from helpers.paths import ROOT
from softprompt.check_gpu.small_world import TASKS, write_small_world
from softprompt.methods import METHODS, TrainedMethod

pytestmark = pytest.mark.xdist_group("device")  # one world, and one run of all methods

Outcomes = dict[str, dict[str, dict[str, dict[str, Any]]]]
THOROUGH = ("bert", "gpt2", "t5")  # a type each kind, which meets every method; the others meet deep prompts
EVERY_FORM = ("fine_tuning", "multitask_prompt", "p_tuning_v2", "prompt_pool_topk", "prompt_tuning")
ASK_NOTHING = {"majority", "autoprompt_published"}  # here: the small world has no published triggers

# Of a step of two to four members on a tiny BERT: operators but views, copies to the device, and waits for it. The wait
# that nearly all have is transformers' own look at the padding mask. PET's steps are those of fine-tuning.
BUDGETS: dict[str, tuple[float, float, float]] = {
    "autoprompt": (144, 1, 1),
    "fine_tuning": (274, 1, 1),
    "lpaqa": (152, 1, 1),
    "manual_fine_tuning": (274, 1, 1),
    "multitask_prompt": (293, 2, 3),
    "multitask_prompt_mpt": (253, 1, 1),
    "p_tuning": (469, 2, 1),
    "p_tuning_plain": (203, 1, 1),
    "p_tuning_subject_first": (469, 2, 1),
    "p_tuning_tuned": (579, 1, 1),
    "p_tuning_v2": (212, 2, 0),
    "prefix_tuning": (236, 2, 0),
    "prompt_pool": (253, 1, 1),
    "prompt_pool_topk": (389, 2, 3),
    "prompt_tuning": (213, 1, 1),
    "random_backbone": (469, 2, 1),
}
WITHOUT_BUDGET = {"ipet", "pet"}

# What a change of the code could do, by file: what stands there, what in its place, and a method that meets it.
MISTAKES = {
    "inputs/batches.py": ("torch.arange(width, device=self._device)", "torch.arange(width)", "manual"),
    "methods/base.py": ("method.trainable(setup).to(backbone.device)", "method.trainable(setup)", "prompt_tuning"),
    "backbones/attention.py": ("shape[1], device=prefixes.lengths.device)", "shape[1])", "p_tuning_v2"),
    "prompts/pool.py": (
        "hidden_size, generator=",
        "hidden_size, device=backbone.device, generator=",
        "prompt_pool_topk",
    ),
    "backbones/backbone.py": ("arange(len(read_at), device=hidden.device)", "arange(len(read_at))", "p_tuning_plain"),
    "training/triggers.py": ("torch.cat(found).cpu()", "torch.cat(found)", "autoprompt"),
    "device.py": ("non_blocking=True", "non_blocking=False", "prompt_tuning"),
    "training/alike.py": (
        "_parts(), streams)",
        "_parts(), streams if self.numbers.any() else streams)",
        "prompt_tuning",
    ),
    "training/loop.py": ("return losses.detach().float()", "return losses.detach().float().cpu()", "prefix_tuning"),
    "training/fleet.py": ("hidden = hidden[row, place]", "hidden = (hidden + 0 + 0)[row, place]", "lpaqa"),
}


def run_on_the_device(*runs: dict[str, Any]) -> list[Outcomes]:
    done = subprocess.run(
        [sys.executable, "-m", "helpers.device_run"],
        input=json.dumps(runs),
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def a_run(world: Path, *, source: Path = ROOT / "src", **asked: Any) -> dict[str, Any]:
    return {"source": str(source), "prepared": str(world), "forms": 1, "counted": False} | asked


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_world(tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module")
def found(world: Path) -> list[Outcomes]:
    """All methods on BERT, with what their steps cost, and on one more type each kind; every form of answers; deep
    prompts on all other types."""
    everyone, others = sorted(METHODS), [name for name in BACKBONE_TYPES if name not in THOROUGH]
    return run_on_the_device(
        a_run(world, types=THOROUGH[:1], methods=everyone, counted=True),
        a_run(world, types=THOROUGH[1:], methods=everyone),
        a_run(world, types=THOROUGH[:1], methods=EVERY_FORM, forms=len(TASKS)),
        a_run(world, types=others, methods=["p_tuning_v2"]),
    )


def test_everything_trains_and_answers_on_a_device(found: list[Outcomes]) -> None:
    assert [broken for run in found for broken in went_wrong(run)] == []
    asked = {
        kind: {name for name, forms in methods.items() if forms} for run in found[:2] for kind, methods in run.items()
    }
    missing = {kind: set(METHODS) - names - ASK_NOTHING for kind, names in asked.items()}
    assert missing == {"bert": {"in_context", "in_context_calibrated"}, "gpt2": set(), "t5": set()}
    assert all(len(forms) == len(TASKS) for forms in found[2]["bert"].values())
    assert set(found[3]) == set(BACKBONE_TYPES) - set(THOROUGH)


def test_a_step_costs_no_more_than_it_did(found: list[Outcomes]) -> None:
    trained = {name for name, method in METHODS.items() if issubclass(method, TrainedMethod)}
    assert set(BUDGETS) == trained - WITHOUT_BUDGET
    assert too_dear(found[0]["bert"]) == {}


def test_mistakes_are_caught(world: Path, tmp_path: Path) -> None:
    runs = []
    for file, (right, wrong, name) in MISTAKES.items():
        source = tmp_path / file.replace("/", "-")
        shutil.copytree(ROOT / "src" / "softprompt", source / "softprompt")
        path = source / "softprompt" / file
        text = path.read_text()
        assert text.count(right) == 1, (file, right)
        path.write_text(text.replace(right, wrong))
        runs.append(a_run(world, source=source, types=["bert"], methods=[name], counted=name in BUDGETS))
    outcomes = run_on_the_device(*runs)
    pairs = zip(MISTAKES, outcomes, strict=True)
    unnoticed = [file for file, one in pairs if not went_wrong(one) and not too_dear(one["bert"])]
    assert unnoticed == []


def went_wrong(run: Outcomes) -> list[tuple[str, str, str, str]]:
    """Type, method, form, and what was raised."""
    return [
        (kind, name, form, told["error"])
        for kind, methods in run.items()
        for name, forms in methods.items()
        for form, told in forms.items()
        if "error" in told
    ]


def too_dear(methods: dict[str, dict[str, dict[str, Any]]]) -> dict[str, list[float]]:
    """What a step costs of those methods that have a budget and leave it."""
    steps = {name: told["step"] for name, forms in methods.items() if name in BUDGETS for told in forms.values()}
    pairs = {name: zip(step, BUDGETS[name], strict=True) for name, step in steps.items()}
    return {name: steps[name] for name, both in pairs.items() if any(spent > allowed for spent, allowed in both)}
