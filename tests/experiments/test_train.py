"""The train stage: done again it changes no byte, cut off it goes on to the same bytes; any setting can be searched."""

import copy
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file

from helpers.backbones import WORLD
from helpers.profiles import fixture_params
from helpers.trained_stages import bytes_below, without_spent
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Params, SuiteSettings, Tuning
from softprompt.data.prepare import prepare_suite
from softprompt.experiments import saved_parts
from softprompt.experiments.fleet_training import _refusing_broken
from softprompt.experiments.saved_parts import SavedParts
from softprompt.experiments.store import FleetStore
from softprompt.experiments.train import train_method
from softprompt.experiments.tuning import Study, Trial
from softprompt.files import sha256_of_file
from softprompt.methods import build_method
from softprompt.paths import Paths
from softprompt.results import TrainResult, TrialRecord, total_cost
from softprompt.training.member import Trained

BUDGET = Budget(trials=5, steps=4, batch_size=4, eval_every=2, patience=3)
RATE = {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/prepared of FewGLUE's RTE in the small world."""
    paths = Paths(tmp_path_factory.mktemp("few"))
    prepare_suite("fewglue", SuiteSettings(source="embedded", tasks=("rte",), test_limit=10), WORLD, paths)
    return paths.prepared


def small(name: str, section: dict[str, Any], **changed: Any) -> Params:
    """The default profile cut down to one method; keys of its section replaced."""
    params = fixture_params()
    own = {**params.methods[name], "paper": None, **section}
    return params.model_copy(
        update={
            "run": params.run.model_copy(update={"suites": ("fewglue",), "methods": (name,)}),
            "budgets": {params.budget: BUDGET},
            "tuning": params.tuning.model_copy(update={"batch": 2}),
            "seeds": (0,),
            "device": params.device.model_copy(update={"workers": 1}),
            "methods": {**params.methods, name: {key: value for key, value in own.items() if value is not None}},
            **changed,
        }
    )


def train(
    name: str, section: dict[str, Any], backbone: Backbone, few: Path, folder: Path, **changed: Any
) -> TrainResult:
    if not (folder / "data").is_dir():
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "prepared").symlink_to(few)
    params = small(name, section, **changed)
    params = params.model_copy(update={"backbones": {backbone.name: params.backbones["tiny_bert"]}})
    return train_method(params, name, build_method(name, params.methods[name]), backbone, Paths(folder))


def test_a_finished_stage_that_runs_again_changes_no_byte(bert: Backbone, few: Path, tmp_path: Path) -> None:
    train("prompt_tuning", {}, bert, few, tmp_path)
    before = bytes_below(tmp_path / "results")
    assert any("studies/" in name for name in before)
    train("prompt_tuning", {}, bert, few, tmp_path)
    assert bytes_below(tmp_path / "results") == before


def trained_seeds(result: TrainResult) -> dict[int, list[TrialRecord]]:
    found: dict[int, list[TrialRecord]] = {}
    for trial in result.trials:
        found.setdefault(trial.seed, []).append(trial)
    return found


def best_of(trials: list[TrialRecord]) -> TrialRecord:
    return max(trials, key=lambda trial: (trial.dev_score, -trial.number))


def parts_below(folder: Path) -> set[str]:
    return {path.stem for path in folder.rglob("parts/*.safetensors")}


def test_a_replicate_has_a_study_of_its_own_whose_best_trial_is_its_cell(
    bert: Backbone, few: Path, tmp_path: Path
) -> None:
    result = train("prompt_tuning", {}, bert, few, tmp_path, seeds=(3, 7))
    studies = trained_seeds(result)
    assert {seed: len(trials) for seed, trials in studies.items()} == {3: BUDGET.trials, 7: BUDGET.trials}
    assert not {str(trial.settings) for trial in studies[3]} & {str(trial.settings) for trial in studies[7]}
    assert [cell.seed for cell in result.cells] == [3, 7]
    for cell in result.cells:
        best = best_of(studies[cell.seed])
        assert (cell.chosen, cell.dev_score) == (best.settings, best.dev_score)
    assert parts_below(tmp_path) == {cell.key for cell in result.cells}  # the others answer nothing any more


def test_a_shared_study_is_trained_again_on_every_seed(bert: Backbone, few: Path, tmp_path: Path) -> None:
    tuning = Tuning(scheme="shared", seed=1000, batch=2)
    result = train("prompt_tuning", {}, bert, few, tmp_path, seeds=(3, 7), tuning=tuning)
    assert list(trained_seeds(result)) == [1000]
    best = best_of(result.trials)
    assert [(cell.seed, cell.chosen) for cell in result.cells] == [(3, best.settings), (7, best.settings)]
    assert parts_below(tmp_path) == {cell.key for cell in result.cells}


def test_a_larger_study_finds_the_trials_of_a_smaller_one(bert: Backbone, few: Path, tmp_path: Path) -> None:
    """Whose winner it trains again, where that was dropped for a better one."""
    trials, backbone = [], bert
    for count in (3, 5, 3):
        budgets = {"small": BUDGET.model_copy(update={"trials": count})}
        result = train("prompt_tuning", {}, backbone, few, tmp_path, budgets=budgets)
        trials.append([trial.settings for trial in result.trials])
        assert result.cells[0].chosen == best_of(result.trials).settings
        assert result.cells[0].key in parts_below(tmp_path)
    assert trials[1][:3] == trials[0] == trials[2]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_study_file_that_was_cut_off_leads_to_the_same_bytes(
    share: float, bert: Backbone, few: Path, tmp_path: Path
) -> None:
    train("prompt_tuning", {}, bert, few, tmp_path)
    before = bytes_below(tmp_path / "results")
    (study,) = (tmp_path / "results").rglob("studies/*.json")
    study.write_bytes(study.read_bytes()[: int(share * study.stat().st_size)])
    train("prompt_tuning", {}, bert, few, tmp_path)
    assert bytes_below(tmp_path / "results") == before


def cut_off_after(told: int, monkeypatch: pytest.MonkeyPatch, go: Callable[[], object]) -> None:
    """Until studies have been told so often."""
    tell, calls = Study.tell, itertools.count(1)

    def tell_some(study: Study, outcomes: Sequence[tuple[Trial, float | None]]) -> None:
        if next(calls) > told:
            raise KeyboardInterrupt
        tell(study, outcomes)

    with monkeypatch.context() as cut_off:
        cut_off.setattr(Study, "tell", tell_some)
        with pytest.raises(KeyboardInterrupt):
            go()


def goes_on_to_the_same_bytes(train_in: Callable[[Path], object], folder: Path) -> None:
    """What was cut off in `folder`/cut ends as `folder`/whole did, and trains none of its finished fleets again."""
    finished = {path: path.stat().st_mtime_ns for path in (folder / "cut").rglob("fleets/*.json")}
    train_in(folder / "cut")
    whole, cut = (without_spent(bytes_below(folder / name / "results")) for name in ("whole", "cut"))
    assert cut == whole
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


@pytest.mark.parametrize("told", [(3, 1), (5, 1), (5, 3)])
def test_cut_off_twice_it_goes_on_to_the_same_bytes_and_trains_nothing_twice(
    told: tuple[int, int], bert: Backbone, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Studies that are told anew pass by trials that were the best once, whose parts went when a better one came."""
    seeds = {"seeds": (6, 1)}
    train("prompt_tuning", {}, bert, few, tmp_path / "whole", **seeds)
    for times in told:
        cut_off_after(times, monkeypatch, lambda: train("prompt_tuning", {}, bert, few, tmp_path / "cut", **seeds))
    goes_on_to_the_same_bytes(lambda folder: train("prompt_tuning", {}, bert, few, folder, **seeds), tmp_path)


@pytest.mark.parametrize("told", [1, 2, 3])
def test_cut_off_between_what_two_studies_are_told_it_goes_on_to_the_same_bytes(
    told: int, bert: Backbone, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fleets hold trials of both studies, and of the same batch only."""
    kept = {"seeds": (3, 7), "device": small("prompt_tuning", {}).device.model_copy(update={"fleet_members": 3})}
    train("prompt_tuning", {}, bert, few, tmp_path / "whole", **kept)
    cut_off_after(told, monkeypatch, lambda: train("prompt_tuning", {}, bert, few, tmp_path / "cut", **kept))
    goes_on_to_the_same_bytes(lambda folder: train("prompt_tuning", {}, bert, few, folder, **kept), tmp_path)


def test_a_fleet_cut_at_any_byte_is_not_finished_and_trained_as_before(
    bert: Backbone, few: Path, tmp_path: Path
) -> None:
    train("prompt_tuning", {}, bert, few, tmp_path)
    before = without_spent(bytes_below(tmp_path / "results"))
    folder = next(tmp_path.rglob("fleets"))
    path = min(folder.iterdir())
    whole = path.read_bytes()
    members = set(FleetStore(folder.parent).members)
    for end in range(len(whole.rstrip())):
        path.write_bytes(whole[:end])
        assert set(FleetStore(folder.parent).members) < members
    for end in (0, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:end])
        train("prompt_tuning", {}, bert, few, tmp_path)
        assert without_spent(bytes_below(tmp_path / "results")) == before


@pytest.mark.parametrize(
    ("method", "section", "name"),
    [
        ("prompt_tuning", {"initialisation": None, "search": {"initialisation": ["random", "vocabulary"], **RATE}}, ""),
        ("prompt_pool", {"pool_size": None, "search": {"pool_size": {"low": 2, "high": 5}, **RATE}}, ""),
        ("pet", {"temperature": None, "search": {"temperature": {"low": 1.0, "high": 4.0}, **RATE}}, ""),
        (
            "p_tuning_tuned",
            {
                "backbone_learning_rate": None,
                "learning_rate": 1e-3,
                "search": {"backbone_learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}},
            },
            "",
        ),
    ],
)
def test_what_is_searched_is_what_trains(
    method: str, section: dict[str, Any], name: str, bert: Backbone, few: Path, tmp_path: Path
) -> None:
    """Every trial has its own value, the best one's is the cell's, and the cell's parts were made with it."""
    if "prompt_length" not in section["search"] and method != "pet":
        section = {**section, "prompt_length": 3}
    name = next(iter(section["search"]))
    backbone = bert.with_model(copy.deepcopy(bert.model).float()) if method == "pet" else bert
    result = train(method, section, backbone, few, tmp_path)
    assert {cell.status for cell in result.cells} == {"done"}, [cell.reason for cell in result.cells]
    values = [trial.settings[name] for trial in result.trials]
    assert len(values) == BUDGET.trials
    assert len(set(values)) > 1
    best = best_of(result.trials)
    for cell in result.cells:
        assert cell.chosen == best.settings
        assert cell.settings[name] == best.settings[name]
        assert list(cell.settings) == sorted(cell.settings)
        if method == "prompt_pool":
            size = bert.embedding_size
            assert cell.parameters_kept == int(best.settings[name]) * 3 * size + size * size + size


def test_a_cell_says_what_its_training_and_all_trials_of_its_study_cost(
    bert: Backbone, few: Path, tmp_path: Path
) -> None:
    result = train("prompt_tuning", {}, bert, few, tmp_path, seeds=(0, 1))
    trained = FleetStore(Paths(tmp_path).journal("prompt_tuning", bert.name)).members
    assert len(trained) == 2 * BUDGET.trials
    for cell in result.cells:
        assert cell.cost == trained[cell.key].cost
        assert cell.search_cost.trainings == BUDGET.trials
        assert cell.search_cost.steps == BUDGET.trials * BUDGET.steps
        assert cell.search_cost.rows_backward == BUDGET.trials * BUDGET.steps * BUDGET.batch_size
    both = total_cost([cell.search_cost for cell in result.cells])
    everything = total_cost([member.cost for member in trained.values()])
    assert both.model_dump() == pytest.approx(everything.model_dump())
    assert min(member.cost.train_seconds for member in trained.values()) > 0
    assert min(member.cost.peak_memory_bytes for member in trained.values()) > 2**20


def test_a_shared_search_costs_the_trials_of_its_one_study(bert: Backbone, few: Path, tmp_path: Path) -> None:
    shared = small("prompt_tuning", {}).tuning.model_copy(update={"scheme": "shared", "seed": 1000})
    result = train("prompt_tuning", {}, bert, few, tmp_path, seeds=(0, 1), tuning=shared)
    first, second = (cell.search_cost for cell in result.cells)
    assert first == second
    assert first.trainings == BUDGET.trials
    assert all(cell.cost.trainings == 1 for cell in result.cells)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swapped(first: Path, second: Path) -> None:
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


DAMAGES: dict[str, Callable[[list[Path]], None]] = {
    "deleted": lambda parts: parts[0].unlink(),
    "cut off": lambda parts: parts[0].write_bytes(parts[0].read_bytes()[:-3]) and None,
    "flipped": lambda parts: flipped(parts[0]),
    "without parts": lambda parts: save_file({}, parts[0]),
    "swapped": lambda parts: swapped(*parts),
}


@pytest.fixture(scope="module")
def finished(bert: Backbone, few: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """A stage with two cells, which tests copy, and its result."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, train("prompt_tuning", {}, bert, few, folder, seeds=(3, 7))


@pytest.mark.parametrize("damage", DAMAGES)
def test_parts_that_are_not_as_they_were_saved_are_trained_anew(
    damage: str, finished: tuple[Path, TrainResult], bert: Backbone, few: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished[0] / "results", tmp_path / "results")
    parts = sorted((tmp_path / "results" / "journal").rglob("parts/*.safetensors"))
    whole = {path: path.read_bytes() for path in parts}
    DAMAGES[damage](parts)
    result = train("prompt_tuning", {}, bert, few, tmp_path, seeds=(3, 7))
    saved = SavedParts(parts[0].parent)
    assert all(saved.holds(cell.key, cell.parts_sha256) for cell in result.cells)
    for path, content in whole.items():
        for name, tensor in load(content).items():
            torch.testing.assert_close(load(path.read_bytes())[name], tensor, rtol=0, atol=1e-8)
    for cell, before in zip(result.cells, finished[1].cells, strict=True):
        assert (cell.key, cell.chosen, cell.dev_score) == (before.key, before.chosen, before.dev_score)


def test_what_winners_keep_is_read_once_to_see_that_it_is_whole(
    finished: tuple[Path, TrainResult], bert: Backbone, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished[0] / "results", tmp_path / "results")
    read: Counter[Path] = Counter()

    def counted(path: Path) -> str:
        read[path] += 1
        return sha256_of_file(path)

    monkeypatch.setattr(saved_parts, "sha256_of_file", counted)
    train("prompt_tuning", {}, bert, few, tmp_path, seeds=(3, 7))
    assert set(read) == set((tmp_path / "results" / "journal").rglob("parts/*.safetensors"))
    assert set(read.values()) == {1}


@pytest.mark.parametrize("damage", ["edited", "cut off", "no text", "another version", "another schema"])
def test_a_fleet_record_that_is_not_as_it_was_written_never_enters_a_result(
    damage: str, finished: tuple[Path, TrainResult], bert: Backbone, few: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished[0] / "results", tmp_path / "results")
    for path in tmp_path.rglob("fleets/*.json"):
        content = json.loads(path.read_text())
        if damage == "another version":
            del content["sha256"]
        if damage == "another schema":
            content["schema_version"] += 1
        for member in content["members"]:
            member["dev_score"] = 1.0
        text = json.dumps(content).encode()
        path.write_bytes({"cut off": text[:-20], "no text": b"\xff\xfe"}.get(damage, text))
    result = train("prompt_tuning", {}, bert, few, tmp_path, seeds=(3, 7))
    assert [cell.dev_score for cell in result.cells] == [cell.dev_score for cell in finished[1].cells]
    assert all(cell.dev_score != 1.0 for cell in result.cells)


def test_a_member_whose_parts_are_no_numbers_has_failed() -> None:
    """Though dev does not show it: of a pool, not every prompt is asked."""
    saved = {"pool.entries": torch.tensor([1.0, float("nan")])}
    trained = Trained(saved=saved, dev_score=1.0, best_step=2)
    assert not _refusing_broken(trained).saved
    assert _refusing_broken(trained).failure == "its trained pool.entries is not finite"
