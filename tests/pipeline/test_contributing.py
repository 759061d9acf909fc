"""What CONTRIBUTING promises: how many files a new method, part and task take, counted in a copy of the project."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers.paths import ROOT
from helpers.pipeline import environment, small_params

METHOD = '''"""Prompt tuning from random vectors, as an example."""

from softprompt.config import Kind
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.tasks.task import Task, Template


@METHODS.register("random_start")
class RandomStart(TrainedMethod):
    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return tuple(template.with_prompt_in_front() for template in task.templates("plain", kind))

    def trainable(self, setup: Setup) -> Trainable:
        embeddings = setup.backbone.word_embeddings()
        return Trainable(SoftPrompt.drawn("identity", setup.prompt_length, embeddings, setup.generator))
'''
SECTION = {
    "search": {"prompt_length": {"low": 1, "high": 4}, "learning_rate": {"low": 0.01, "high": 0.1, "log": True}},
    "recipe": {"optimizer": "adam"},
}
PART = '''"""One trained factor for all logits of a member. Axes: F members, M tokens that are read, W outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.prompts.part import PARTS, FleetPart, Part
from softprompt.prompts.side_by_side import side_by_side


@PARTS.register("temperature")
class Temperature(Part):
    def __init__(self, factor: Float[Tensor, ""]) -> None:
        super().__init__()
        self.factor = nn.Parameter(factor)

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:
        return cls(saved["factor"])

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        return FleetTemperatures(side_by_side([part.factor for part in parts if part is not None]))


@dataclass(frozen=True)
class FleetTemperatures(FleetPart):
    factors: Float[Tensor, "F"]

    def rescored(self, logits: Float[Tensor, "M W"], member: Int[Tensor, "M"]) -> Float[Tensor, "M W"]:
        return logits * self.factors[member][:, None]
'''
METHOD_OF_PART = '''"""The manual template with one trained factor, as an example."""

import torch

from softprompt.config import Kind
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.temperature import Temperature
from softprompt.prompts.trainable import Trainable
from softprompt.tasks.task import Task, Template


@METHODS.register("scaled_manual")
class ScaledManual(TrainedMethod):
    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return task.templates("manual", kind)[:1]

    def trainable(self, setup: Setup) -> Trainable:
        return Trainable(Temperature(torch.tensor(1.0)))
'''
SECTION_OF_PART = {
    "search": {"learning_rate": {"low": 0.01, "high": 0.1, "log": True}},
    "recipe": {"optimizer": "adam"},
}
TASK = """
version: 1
fields: [review]
head_fields: [review]
labels: [blame, praise]
verbalizer: {blame: "No", praise: "Yes"}
metrics: [accuracy]
manual:
  - {id: asked, text: "{review} Is that praise? {mask}.", source: here}
p_tuning:
  - {id: slots, text: "{review} {prompt} {mask}", source: here}
plain: {id: plain, text: "{review} {mask}", source: here}
data:
  folder: Praise
  format: texts
  columns: {review: Text}
  label_column: Verdict
  label_values: {blame: 0, praise: 1}
  licence: CC0
  submission: {file: praise.jsonl, labels: {blame: 0, praise: 1}}
  suites: {superglue: {}}
"""
WORDS = ("dull", "fine")
PAGE = "# An example\n\nHow to read its rows: as any others.\n"

pytestmark = pytest.mark.xdist_group("contributing")  # one worker makes what the module shares


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a prepared suite and a backbone."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("src", "stages", "profiles", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", folder)
    write_params(folder, {})
    for stage in ("prepare.py --suite lama", "prepare.py --suite superglue", "backbone.py --backbone tiny_bert"):
        run_stage(folder, stage)
    return folder


def write_params(folder: Path, methods: dict[str, dict[str, object]]) -> None:
    params = small_params()
    params["methods"] |= methods
    params["run"]["trained"] += list(methods)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def run_stage(folder: Path, stage: str) -> None:
    script, *flags = stage.split()
    done = subprocess.run(
        [sys.executable, f"stages/{script}", *flags],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def added_files(folder: Path) -> set[str]:
    """What the copy has that the project has not, and what it has otherwise, but for params.yaml."""
    own = [path for name in ("src", "stages", "profiles", "docs", "dvc.yaml") for path in files_of(folder / name)]
    changed = [path for path in own if not same(path, ROOT / path.relative_to(folder))]
    return {path.relative_to(folder).as_posix() for path in changed}


def files_of(place: Path) -> list[Path]:
    found = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return [path for path in found if "__pycache__" not in path.parts and not path.name.endswith(".pyc")]


def same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def test_a_method_of_known_parts_is_a_file_a_section_and_a_page(project: Path) -> None:
    files = {"src/softprompt/methods/random_start.py": METHOD, "docs/methods/random_start.md": PAGE}
    for name, content in files.items():
        (project / name).write_text(content)
    write_params(project, {"random_start": SECTION})
    run_stage(project, "train.py --method random_start --backbone tiny_bert")
    cells = yaml.safe_load((project / "results/train/tiny_bert/random_start/result.json").read_text())["cells"]
    assert {cell["status"] for cell in cells} == {"done"}
    assert added_files(project) == set(files)
    for name in files:
        (project / name).unlink()


def test_a_method_with_a_part_of_its_own_takes_the_parts_file_more(project: Path) -> None:
    files = {
        "src/softprompt/prompts/temperature.py": PART,
        "src/softprompt/methods/scaled_manual.py": METHOD_OF_PART,
        "docs/methods/scaled_manual.md": PAGE,
    }
    for name, content in files.items():
        (project / name).write_text(content)
    write_params(project, {"scaled_manual": SECTION_OF_PART})
    run_stage(project, "train.py --method scaled_manual --backbone tiny_bert")
    cells = yaml.safe_load((project / "results/train/tiny_bert/scaled_manual/result.json").read_text())["cells"]
    assert {(cell["status"], cell["parameters_trained"]) for cell in cells} == {("done", 1)}
    assert added_files(project) == set(files)
    for name in files:
        (project / name).unlink()


def test_a_task_in_a_known_format_is_its_definition(project: Path) -> None:
    definition = "src/softprompt/tasks/definitions/praise.yaml"
    (project / definition).write_text(TASK)
    raw = project / "raw" / "superglue" / "Praise"
    raw.mkdir(parents=True)
    for split, rows in {"train": 40, "val": 20}.items():
        lines = [json.dumps({"idx": n, "Text": f"It was {WORDS[n % 2]}.", "Verdict": n % 2}) for n in range(rows)]
        (raw / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    params = small_params()
    params["suites"]["superglue"] = {"source": "local", "path": "raw", "tasks": ["praise"]}
    params["run"] |= {"suites": ["superglue"], "untrained": ["manual"], "trained": ["p_tuning"]}
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run_stage(project, "prepare.py --suite superglue")
    run_stage(project, "untrained.py --backbone tiny_bert")
    cells = json.loads((project / "results/train/tiny_bert/untrained/manual/result.json").read_text())["cells"]
    assert [(cell["task"], cell["status"]) for cell in cells] == [("praise", "done")]
    assert added_files(project) == {definition}
