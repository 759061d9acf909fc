"""A small results tree with known truth, written through the models of results.py: food for report and store tests."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from softprompt.config import Budget, Run
from softprompt.files import sha256_of_file, write_atomically
from softprompt.paths import Paths
from softprompt.records import write_record
from softprompt.reporting.context import ReportContext
from softprompt.result_files import seal_folder
from softprompt.results import (
    Cell,
    Cost,
    Coverage,
    CurvePoint,
    Prediction,
    SearchedSetting,
    State,
    TrainResult,
    TrialRecord,
    total_cost,
)
from softprompt.seeding import numpy_generator, stream_seed
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Task

METHODS = (
    "majority", "random_prompt", "random_backbone", "manual", "manual_best", "fine_tuning", "manual_fine_tuning",
    "prompt_tuning", "p_tuning",
)  # fmt: skip
ACCURACY = {
    "majority": 0.15, "random_prompt": 0.05, "random_backbone": 0.15, "manual": 0.4, "manual_best": 0.7,
    "fine_tuning": 0.75, "manual_fine_tuning": 0.8, "prompt_tuning": 0.6, "p_tuning": 0.85,
}  # fmt: skip
UNSEEDED = ("majority", "manual", "manual_best")
TRAINED = ("random_backbone", "fine_tuning", "manual_fine_tuning", "prompt_tuning", "p_tuning")
TEST_SPLITS = {True: ("test", "withheld"), False: ("test",)}  # of LAMA, of other suites
SPARE = 5  # examples beside the facts of a world
TUNED = ("fine_tuning", "manual_fine_tuning")


@dataclass(frozen=True)
class World:
    """Sizes of a synthetic run. `failed` and `absent` are (task, backbone, method, seed)."""

    backbones: tuple[str, ...] = ("tiny_bert", "tiny_gpt2")
    methods: tuple[str, ...] = METHODS
    tasks: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {"lama": ("P1", "P2", "P3", "P4"), "superglue": ("boolq", "cb"), "fewglue": ("rte",)}
    )
    seeds: tuple[int, ...] = (100, 101, 102)
    facts: int = 30
    templates: int = 5
    trials: int = 3
    evaluations: int = 4
    failed: tuple[tuple[str, str, str, int], ...] = ()
    absent: tuple[tuple[str, str, str, int], ...] = ()
    not_applicable: tuple[tuple[str, str, str], ...] = ()  # (task, backbone, method)
    dropped: tuple[tuple[str, str, int], ...] = ()  # (task, backbone, test examples)
    probes: tuple[str, ...] = ()  # relations without train and dev facts


def default_size() -> World:
    """As many cells as a large default profile: 2 backbones, 9 methods, 20 tasks, 5 seeds."""
    tasks = {
        "lama": tuple(f"P{number}" for number in range(1, 13)),
        "superglue": ("boolq", "cb", "rte", "wic"),
        "fewglue": ("boolq", "cb", "rte", "wic"),
    }
    return World(tasks=tasks, seeds=(100, 101, 102, 103, 104), facts=100, templates=8, trials=8, evaluations=10)


def context_of(world: World, profile: str = "embedded") -> ReportContext:
    """The report on the whole of a world."""
    return ReportContext(
        profile=profile,
        purpose="Made up, for tests.",
        run=Run(suites=tuple(world.tasks), backbones=world.backbones, trained=world.methods),
        budget_name="small",
        budget=Budget(
            trials=world.trials, steps=100 * world.evaluations, batch_size=8, eval_every=100, patience=world.evaluations
        ),
        seeds=world.seeds,
        scheme="replicate",
    )


def make(root: Path, world: World) -> None:
    """`data` and `results` of a finished run below `root`."""
    paths = Paths(root)
    for number, task in enumerate(world.tasks.get("lama", ())):
        wordings = [
            {"id": f"{task}-t{n}", "text": f"{{subject}} is {n} {{mask}}.", "source": "synthetic"}
            for n in range(world.templates)
        ]
        described = {"type": ("1-1", "N-1", "N-M")[number % 3], "templates": wordings}
        write_atomically(paths.suite("lama") / task / "templates.json", json.dumps(described))
    tables = {
        (suite, task, split): _test_table(root, suite, task, split, world)
        for suite, tasks in world.tasks.items()
        for task in tasks
        for split in TEST_SPLITS[suite == "lama"]
    }
    for suite, tasks in world.tasks.items():
        for test, folder in ((False, paths.suite(suite)), (True, paths.test_suite(suite))):
            write_atomically(folder / "manifest.json", _manifest(suite, tasks, world, paths, test=test))
    for backbone in world.backbones:
        _pretraining(paths, backbone, world)
        predictions: list[Prediction] = []
        for method in world.methods:
            cells = [cell for cell in _cells(backbone, method, world) if _place(cell) not in world.absent]
            folder = paths.train(method, backbone)
            result = TrainResult(method=method, backbone=backbone, cells=cells, trials=_trials(method, world))
            write_record(folder / "result.json", result)
            for cell in cells:
                if cell.status == "done":
                    predictions += _predictions(cell, world, tables)
                    _save_prompt(folder, cell)
        _write_evaluation(paths.evaluate(backbone), predictions, _coverage(backbone, world))


def _test_table(root: Path, suite: str, task: str, split: str, world: World) -> tuple[Task, pd.DataFrame]:
    """The task and a split of it, which is also written. A fact has an answer of its own."""
    definition = load_task(suite, task, Paths(root).prepared)
    rows = range(world.facts + SPARE)
    numbers = [f"{row // 2}-{row % 2}" for row in rows]
    answers = _answers(definition, f"{task} {split}")
    labels = [answers[row % len(answers)] if definition.labels else f"{answers[0]} {row}" for row in rows]
    table = pd.DataFrame(
        {"id": [f"{split}-{number}" for number in numbers], "group": [str(row // 2) for row in rows], "label": labels}
    )
    path = Paths(root).test_suite(suite) / task / f"{split}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)
    return definition, table


def _answers(task: Task, name: str) -> list[str]:
    """At least two different answers, of which an example has one as gold and the next as what it is not."""
    if task.answer_form == "tagging":
        return ['["O", "B-PER"]', '["O", "O"]']
    return list(task.labels) or [name, "Rome"]


def _place(cell: Cell) -> tuple[str, str, str, int]:
    return (cell.task, cell.backbone, cell.method, cell.seed)


def _manifest(suite: str, tasks: tuple[str, ...], world: World, paths: Paths, *, test: bool) -> str:
    content = {
        "suite": suite,
        "source": "embedded",
        "tasks": {task: _manifest_entry(suite, task, world, paths, test=test) for task in tasks},
        "files": {},
    }
    return json.dumps(content | ({"left_out": {}} if test else {}), indent=1, sort_keys=True) + "\n"


def _manifest_entry(suite: str, task: str, world: World, paths: Paths, *, test: bool) -> dict[str, object]:
    digest = f"{stream_seed(f'{suite}/{task}', 'data'):064x}"
    learnt_from = () if task in world.probes else ("train", "dev")
    splits = TEST_SPLITS[suite == "lama"] if test else learnt_from
    tables = {split: paths.test_suite(suite) / task / f"{split}.parquet" for split in splits if test}
    digests = {split: sha256_of_file(tables[split]) if test else digest for split in splits}
    entry = {
        "splits": {split: {"rows": world.facts + SPARE, "sha256": digests[split]} for split in splits},
        "files": {},
    }
    if test:
        return entry | {"also_in_test": dict.fromkeys(learnt_from, 0)}
    return entry | {"licence": "Apache-2.0", "note": "train is a part" if task == "cb" else ""}


def _coverage(backbone: str, world: World) -> list[Coverage]:
    rows = []
    for task in world.tasks.get("lama", ()):
        dropped = sum(count for at, name, count in world.dropped if (at, name) == (task, backbone))
        for split in ("test",) if task in world.probes else ("train", "dev", "test"):
            outside, left_out = {"train": (1, 3), "dev": (0, 0), "test": (0, dropped)}[split]
            rows.append(
                Coverage(
                    suite="lama", task=task, backbone=backbone, split=split, examples=world.facts + SPARE,
                    kept=world.facts + SPARE - left_out, not_one_token=left_out - outside, outside_vocabulary=outside,
                )
            )  # fmt: skip
    return rows


def _pretraining(paths: Paths, backbone: str, world: World) -> None:
    folder, evaluated = paths.pretraining(backbone), paths.evaluate(backbone)
    for one in (folder, evaluated):
        one.mkdir(parents=True, exist_ok=True)
    steps = np.arange(0, 1001, 100)
    pd.DataFrame({"step": steps, "loss": np.round(4 * np.exp(-steps / 300) + 0.4, 4)}).to_csv(
        folder / "loss.csv", index=False
    )
    rows = [
        (task, f"{task}-t{number}", split, round(accuracy, 4), world.facts)
        for task in world.tasks.get("lama", ())
        for number in range(world.templates)
        for split, accuracy in (("train", _template_accuracy(task, number, "facts")), ("withheld", 0.1))
    ]
    columns = ["relation", "template", "split", "p_at_1", "n"]
    pd.DataFrame(rows, columns=columns).to_csv(evaluated / "facts.csv", index=False)


def _cells(backbone: str, method: str, world: World) -> list[Cell]:
    seeds = world.seeds[:1] if method in UNSEEDED else world.seeds
    return [
        _cell(suite, task, backbone, method, seed, world)
        for suite, tasks in world.tasks.items()
        for task in tasks
        for seed in seeds
    ]


def _cell(suite: str, task: str, backbone: str, method: str, seed: int, world: World) -> Cell:
    state: State = "tuned" if method in TUNED else "frozen"
    names = {"suite": suite, "task": task, "backbone": backbone, "method": method, "seed": seed, "state": state}
    key = f"{stream_seed(f'{suite}/{task}/{backbone}/{method}/{seed}', 'key'):016x}"
    if task in world.probes and method != "manual":
        return Cell(key=key, status="not_applicable", reason="a zero-shot probe has no train and no dev facts", **names)
    if (task, backbone, method) in world.not_applicable:
        return Cell(key=key, status="not_applicable", reason=f"{suite}/{task} needs a causal backbone", **names)
    if (task, backbone, method, seed) in world.failed:
        return Cell(key=key, status="failed", reason="loss became NaN at step 12", **names)
    trained = method in TRAINED
    return Cell(
        key=key,
        status="done",
        settings={"prompt_length": 6, "learning_rate": 0.003} if trained else {},
        study=("lama" if suite == "lama" else f"{suite}/{task}") if trained else "",
        searched=_searched(method) if trained else [],
        dropped={"train": 3, "dev": 0} if suite == "lama" else {},
        templates=_template_ids(task, method, world),
        dev_metric="p_at_1" if suite == "lama" else "accuracy",
        dev_score=ACCURACY[method],
        best_step=300 if trained else None,
        curve=_curve(method, world) if trained else [],
        parameters_trained=5000 if trained else 0,
        parameters_kept=384 if trained else 0,
        fleet=f"{method}-fleet" if trained else "",
        provenance={"data": "ab" * 32, "backbone": "cd" * 32, "device": "cpu", "torch": "2.13.0"},
        cost=_cost(world) if trained else None,
        search_cost=total_cost([_cost(world)] * world.trials) if trained else None,
        **names,
    )


def _cost(world: World) -> Cost:
    """Of 100 steps of 8 rows between evaluations, which answer 30 rows each."""
    trained, answered = 800 * world.evaluations, 30 * world.evaluations
    return Cost(
        steps=100 * world.evaluations, rows_forward=trained + answered, rows_backward=trained, rows_inference=answered,
        train_seconds=1.5, peak_memory_bytes=300 * 1024**2,
    )  # fmt: skip


def _searched(method: str) -> list[SearchedSetting]:
    rate = 0.01 if method == "prompt_tuning" else 0.003
    return [
        SearchedSetting(name="learning_rate", low=0.0001, high=0.01, log=True, chosen=rate),
        SearchedSetting(name="prompt_length", low=1, high=20, log=False, chosen=6),
    ]


def _curve(method: str, world: World) -> list[CurvePoint]:
    points = []
    for number in range(1, world.evaluations + 1):
        reached = ACCURACY[method] * (1 - 0.6 ** (3 * number / world.evaluations))
        points.append(CurvePoint(step=100 * number, train_loss=3 / number, dev_loss=3.2 / number, dev_score=reached))
    return points


def _template_ids(task: str, method: str, world: World) -> list[str]:
    if method == "manual":
        return [f"{task}-t{number}" for number in range(world.templates)]
    return [f"{task}-t0"] if method == "manual_best" else [f"{task}-{method}"]


def _template_accuracy(task: str, number: int, purpose: str) -> float:
    """Brittle manual prompts: 0.7 for the first template of a task, anything from 0 to 0.7 for the others."""
    return 0.7 if number == 0 else float(numpy_generator(f"{task}/{number}", purpose).uniform(0, 0.7))


def _predictions(
    cell: Cell, world: World, tables: dict[tuple[str, str, str], tuple[Task, pd.DataFrame]]
) -> list[Prediction]:
    """Right as often as the method is, which knows only the facts that the backbone can answer."""
    names = cell.model_dump(include={"suite", "task", "backbone", "method", "state", "seed"})
    dropped = sum(count for task, backbone, count in world.dropped if (task, backbone) == (cell.task, cell.backbone))
    found = []
    for split in TEST_SPLITS[cell.suite == "lama"]:
        definition, table = tables[cell.suite, cell.task, split]
        asked = table[: len(table) - dropped] if split == "test" else table
        for number, template in enumerate(cell.templates):
            brittle = cell.method == "manual"
            accuracy = _template_accuracy(cell.task, number, "facts") if brittle else ACCURACY[cell.method]
            draws = numpy_generator(cell.key, f"{split}/{template}").uniform(size=len(asked))
            correct = draws < (accuracy if split == "test" else 0.1)
            place = {**names, "split": split, "template": template}
            rows = zip(asked.itertuples(), correct, strict=True)
            found += [_prediction(place, definition, row, right=bool(right)) for row, right in rows]
    return found


def _prediction(place: dict[str, object], task: Task, row: Any, *, right: bool) -> Prediction:
    answers = _answers(task, "")
    wrong = answers[(answers.index(row.label) + 1) % len(answers)] if task.labels else "Rome"
    said, rank = (row.label, 1) if right else (wrong, 2 if task.labels else 3)
    return Prediction(**place, id=row.id, group=row.group, gold=row.label, prediction=said, gold_rank=rank)


def _trials(method: str, world: World) -> list[TrialRecord]:
    if method not in TRAINED:
        return []
    studies = [s if s == "lama" else f"{s}/{task}" for s, tasks in world.tasks.items() for task in tasks]
    return [
        TrialRecord(
            study=study,
            seed=seed,
            number=number,
            settings={"prompt_length": number + 1, "learning_rate": 0.001 * (number + 1)},
            dev_score=0.5 + 0.01 * number,
            paper=number == 0,
        )
        for study in dict.fromkeys(studies)
        for seed in world.seeds
        for number in range(world.trials)
    ]


def _save_prompt(folder: Path, cell: Cell) -> None:
    if cell.method in ("p_tuning", "prompt_tuning"):
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        save_file({"prompt.vectors": torch.zeros(6, 64)}, folder / "parts" / f"{cell.key}.safetensors")


def _write_evaluation(folder: Path, predictions: list[Prediction], coverage: list[Coverage]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    columns = list(Prediction.model_fields)
    rows = pd.DataFrame([prediction.__dict__ for prediction in predictions], columns=columns)
    rows.to_parquet(folder / "predictions.parquet", index=False)
    counts = pd.DataFrame([row.__dict__ for row in coverage], columns=list(Coverage.model_fields))
    counts.to_csv(folder / "coverage.csv", index=False)
    seal_folder(folder)
