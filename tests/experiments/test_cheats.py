"""Planted methods that cheat: one that looks for the test split, and one that learns from another replicate."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, ClassVar

import pandas as pd
import pytest
import torch

from helpers.backbones import WORLD
from helpers.paths import ROOT
from helpers.profiles import fixture_params
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Params, SuiteSettings
from softprompt.data.prepare import prepare_suite
from softprompt.data.prepared import load_split
from softprompt.experiments.train import train_method
from softprompt.methods import METHODS, build_method
from softprompt.methods.base import Setup
from softprompt.methods.in_context import InContext
from softprompt.methods.prompt_tuning import PromptTuning
from softprompt.paths import Paths
from softprompt.prompts.trainable import Trainable
from softprompt.results import Cell
from softprompt.training.loop import FleetWork
from softprompt.training.member import Trained

SECTIONS = {"peeking": "prompt_tuning", "remembering": "prompt_tuning", "peeking_in_words": "in_context"}
LINT = Path(sys.executable).with_name("lint-imports")


# --- through imports ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("methods/cheat.py", "from softprompt.data.prepared import load_split"),
        ("methods/shared/cheat.py", "import softprompt.data.prepared"),
        ("prompts/cheat.py", "from softprompt.data import prepared"),
        ("training/cheat.py", "from softprompt.data.prepared import load_split"),
        ("inputs/cheat.py", "from softprompt.data.prepared import load_split"),
        ("backbones/cheat.py", "from softprompt.data.prepared import load_split"),  # reached from the method below
        ("methods/cheat.py", "from softprompt.experiments.task_loading import load_split"),
        ("methods/cheat.py", "from softprompt.evaluation.trained_cells import load_split"),
        ("methods/cheat.py", "from softprompt.paths import Paths"),
        ("methods/cheat.py", "from pathlib import Path"),
        ("methods/cheat.py", "import pyarrow.parquet"),
    ],
)
def test_no_method_can_import_its_way_to_data(module: str, line: str, tmp_path: Path) -> None:
    """The contract is run on a copy of the package with one line planted."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    planted = tmp_path / "src/softprompt" / module
    planted.write_text(line + "\n")
    if module.startswith("backbones"):
        (tmp_path / "src/softprompt/methods/cheat.py").write_text("import softprompt.backbones.cheat\n")
    done = subprocess.run(
        [LINT, "--config", ROOT / ".importlinter", "--no-cache"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
    assert "cheat" in done.stdout


# --- through what it is handed ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(tmp_path_factory.mktemp("barrier"))
    settings = SuiteSettings(source="embedded", tasks=("P19",), train_limit=20, test_limit=12)
    prepare_suite("lama", settings, WORLD, paths)
    return paths


def short(name: str, seeds: tuple[int, ...]) -> Params:
    params = fixture_params()
    return params.model_copy(
        update={
            "run": params.run.model_copy(update={"suites": ("lama",), "trained": (name,), "untrained": ()}),
            "budgets": {params.budget: Budget(trials=2, steps=6, batch_size=4, eval_every=2, patience=3)},
            "seeds": seeds,
            "device": params.device.model_copy(update={"workers": 1, "fleet_members": 1}),
            "methods": {name: params.methods[SECTIONS.get(name, name)]},
        }
    )


def reachable(thing: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """Everything that can be had from an object through its attributes and items."""
    if id(thing) in seen or isinstance(thing, type | ModuleType | FunctionType | torch.Tensor):
        return
    seen[id(thing)] = thing  # kept, so that no other object gets its id
    yield thing
    inner: list[Any] = list(getattr(thing, "__dict__", {}).values())
    if isinstance(thing, dict):
        inner += [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        inner += thing
    elif isinstance(thing, MethodType):
        inner.append(thing.__self__)
    for one in inner if not isinstance(thing, pd.DataFrame) else ():
        yield from reachable(one, seen)


HANDED: list[Any] = []


class Peeking(PromptTuning):
    """Keeps all that it is handed."""

    def trainable(self, setup: Setup) -> Trainable:
        HANDED.append(setup)
        return super().trainable(setup)

    def train(self, work: FleetWork) -> list[Trained]:
        HANDED.append(work)
        return super().train(work)


class PeekingInWords(InContext):
    """Likewise, of a method that shows examples."""

    def trainable(self, setup: Setup) -> Trainable:
        HANDED.append(setup)
        return super().trainable(setup)


@pytest.fixture
def planted() -> Iterator[None]:
    HANDED.clear()
    Remembering.fleets.clear()
    cheats = {"peeking": Peeking, "peeking_in_words": PeekingInWords, "remembering": Remembering}
    for name, method in cheats.items():
        METHODS.register(name)(method)
    yield
    for name in cheats:
        del METHODS[name]


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("name", ["peeking", "peeking_in_words"])
def test_what_a_method_is_handed_leads_to_no_folder_and_no_test_example(
    name: str, paths: Paths, gpt2: Backbone
) -> None:
    params = short(name, (0,))
    train_method(params, name, build_method(name, params.methods[name]), gpt2, paths)
    assert HANDED
    found = list(reachable(HANDED, {}))
    tables = [one for one in found if isinstance(one, pd.DataFrame) and "id" in one]
    learnable, test = paths.suite("lama"), paths.test_suite("lama")
    shown = {identity for table in tables for identity in table["id"]}
    assert shown & set(load_split(learnable, "P19", "dev")["id"])  # so the search would find what is there
    assert not shown & set(load_split(test, "P19", "test")["id"])
    assert not [one for one in found if isinstance(one, Path)]
    assert not [one for one in found if isinstance(one, str) and str(paths.root) in one]


@pytest.mark.parametrize("name", ["prompt_tuning", "autoprompt"])
def test_training_needs_no_test_split_to_be_there(name: str, paths: Paths, bert: Backbone, tmp_path: Path) -> None:
    """The stages depend on data/prepared alone, and this is why they can."""
    alone = Paths(tmp_path)
    alone.prepared.parent.mkdir()
    alone.prepared.symlink_to(paths.prepared.resolve())
    params = short(name, (0,))
    method = build_method(name, params.methods[name])
    cells = [train_method(params, name, method, bert, at).cells for at in (paths, alone)]
    first, second = ([cell.model_copy(update={"cost": None, "search_cost": None}) for cell in some] for some in cells)
    assert first == second
    assert {cell.status for cell in first} == {"done"}


# --- through another replicate ------------------------------------------------------------------------------------


class Remembering(PromptTuning):
    """Starts from what the fleets before it left in the process."""

    fleets: ClassVar[list[int]] = []

    def trainable(self, setup: Setup) -> Trainable:
        made = super().trainable(setup)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.1 * len(self.fleets))
        return made

    def train(self, work: FleetWork) -> list[Trained]:
        self.fleets.append(len(work.members))
        return super().train(work)


def outcome_of(name: str, seed: int, seeds: tuple[int, ...], backbone: Backbone, data: Paths, root: Path) -> Any:
    """The cell of one replicate, without costs and keys of files, in a fresh run that has the replicates `seeds`."""
    paths = Paths(root / "-".join(map(str, seeds)))
    paths.prepared.parent.mkdir(parents=True)
    paths.prepared.symlink_to(data.prepared.resolve())
    Remembering.fleets.clear()  # a run is a process of its own
    params = short(name, seeds)
    result = train_method(params, name, build_method(name, params.methods[name]), backbone, paths)
    (cell,) = [one for one in result.cells if one.seed == seed]
    assert isinstance(cell, Cell)
    parts = paths.train(name, backbone.name) / "parts" / f"{cell.key}.safetensors"
    return cell.status, cell.settings, cell.curve, cell.best_step, parts.read_bytes()


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(("name", "same"), [("prompt_tuning", True), ("remembering", False)])
def test_a_replicate_is_the_same_whether_or_not_others_are_run(
    name: str, same: bool, paths: Paths, bert: Backbone, tmp_path: Path
) -> None:
    together = outcome_of(name, 1, (0, 1), bert, paths, tmp_path)
    alone = outcome_of(name, 1, (1,), bert, paths, tmp_path)
    assert (together == alone) == same
