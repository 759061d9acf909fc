"""A run a result: of a method on a backbone and task, and of the mean over a suite's tasks; and one for the report."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from softprompt.data.prepared import fingerprint
from softprompt.reporting.analysis.frames import rows_of
from softprompt.reporting.runs.description import describe
from softprompt.reporting.runs.published import Place, Published
from softprompt.reporting.runs.run import ALL, Dataset, Run, Value
from softprompt.reporting.runs.values import cell_values, interval_values, seed_values, settings_of
from softprompt.results import Cell

SHOWN_PREDICTION = ["id", "gold", "prediction", "gold_rank", "seed", "split", "template"]


def result_runs(published: Published, trials: str) -> Iterator[Run]:
    """Means over replicates, each replicate as a step, the mean curve, predictions, words of the prompt, the trained
    parts. A mean over tasks has scores and costs alone. `trials` is the id of the experiment of trials."""
    for place, cells in (published.cells | whole_suites(published)).items():
        yield _result_run(published, place, cells, trials)


def _result_run(published: Published, place: Place, cells: list[Cell], trials: str) -> Run:
    suite, task, backbone, method = place
    done, rows = [cell for cell in cells if cell.status == "done"], published.intervals.get(place)
    whole, context = task == ALL, published.context
    ended = max(published.made_at(cell) for cell in cells)
    return Run(
        profile=context.profile,
        name=name_of(place),
        places={
            "suite": suite, "task": task, "backbone": backbone, "method": method, "state": cells[0].state,
            "replicate": " ".join(map(str, sorted({cell.seed for cell in cells}))),
            "may_be_best": "yes" if rows is not None and any(rows["may_be_best"]) else "no",
        },
        params=settings_of(cells),
        tags={"status": "done" if len(done) == len(cells) else f"{len(done)} of {len(cells)} cells done"},
        metrics=[
            *interval_values(rows),
            *([] if whole else seed_values(published.scores.get(place))),
            *cell_values(done, curve=not whole),
        ],
        files={} if whole else _files(published, place, done),
        datasets=(trained_on(published, suite, task), *(() if whole else (_tested_on(published, suite, task),))),
        description=describe(place, cells, rows, trials),
        source=context.run.stage_of(method, backbone),
        failed=not done,
        ended=ended,
        started=ended - _seconds(done),
    )  # fmt: skip


def report_run(published: Published) -> Run:
    """Pages, tables and plots, and the means of metrics.json."""
    reports, profile = published.paths.reports, published.context.profile
    metrics = [
        Value(f"{suite}/{backbone}/{method}/{metric}", float(value))
        for suite, backbones in published.means.items()
        for backbone, methods in backbones.items()
        for method, metrics in methods.items()
        for metric, value in metrics.items()
    ]
    paths = sorted(path for path in reports.rglob("*") if path.suffix in (".md", ".csv", ".svg", ".json"))
    files: dict[str, Path | str] = {path.relative_to(reports).as_posix(): path for path in paths}
    text = f"The report on the profile {profile}, whose pages, tables and plots are this run's artifacts."
    made = max((path.stat().st_mtime for path in paths), default=0.0)
    return Run(
        profile=profile, name="report", metrics=metrics, files=files, description=text, source="aggregate",
        started=made, ended=made,
    )  # fmt: skip


def trained_on(published: Published, suite: str, task: str) -> Dataset:
    """What may be learnt from of a task, or of all tasks of a suite."""
    return _dataset(published, suite, task, ("train", "dev"), published.paths.suite(suite), "train and dev")


def name_of(place: Place) -> str:
    """What the run of a result is called."""
    suite, task, backbone, method = place
    return f"{method} {backbone} {suite}/{task}"


def whole_suites(published: Published) -> dict[Place, list[Cell]]:
    """The cells of every backbone and method, over all tasks of a suite."""
    found: dict[Place, list[Cell]] = {}
    for (suite, _, backbone, method), cells in published.cells.items():
        found.setdefault((suite, ALL, backbone, method), []).extend(cells)
    return found


def _files(published: Published, place: Place, done: Sequence[Cell]) -> dict[str, Path | str]:
    files: dict[str, Path | str] = {
        f"parts/seed_{cell.seed}.safetensors": path for cell in done if (path := published.parts_of(cell)).is_file()
    }
    if (answers := published.predictions.get(place)) is not None:
        files["predictions.csv"] = answers[SHOWN_PREDICTION].to_csv(index=False, lineterminator="\n")
    if (words := published.words.get(place)) is not None:
        files["prompt_words.csv"] = _words_table(words).to_csv(index=False, lineterminator="\n")
    points = [{"replicate": cell.seed, **point.model_dump()} for cell in done for point in cell.curve]
    if points:
        files["curves.csv"] = pd.DataFrame(points).to_csv(index=False, lineterminator="\n", float_format="%.6f")
    return files


def _words_table(words: pd.DataFrame) -> pd.DataFrame:
    """A row a vector of the prompt: the words nearest to it with their cosines."""
    shown = words.assign(text=[f"{row.token.strip() or repr(row.token)} ({row.cosine:.2f})" for row in rows_of(words)])
    order = list(dict.fromkeys(shown["vector"]))
    table = shown.pivot(index="vector", columns="rank", values="text").loc[order]
    return table.set_axis([f"word {rank}" for rank in table.columns], axis=1).reset_index()


def _tested_on(published: Published, suite: str, task: str) -> Dataset:
    return _dataset(published, suite, task, ("test",), published.paths.test_suite(suite), "test")


def _dataset(published: Published, suite: str, task: str, splits: tuple[str, ...], folder: Path, use: str) -> Dataset:
    manifest = published.manifests[suite]
    tasks = manifest.tasks if task == ALL else (task,)
    counts = [manifest.content["tasks"][name]["splits"].get(split, {}) for name in tasks for split in splits]
    return Dataset(
        name=f"{suite}/{task} ({use})",
        digest=(manifest.fingerprint if task == ALL else fingerprint(folder, task))[:12],
        source=(folder / ("" if task == ALL else task)).relative_to(published.paths.root).as_posix(),
        columns=("id", "label", *(() if task == ALL else manifest.definitions[task].fields)),
        rows=sum(count.get("rows", 0) for count in counts),
        use=use,
    )


def _seconds(done: Sequence[Cell]) -> float:
    """Of training all cells, their searches included."""
    costs = [cost for cell in done for cost in (cell.search_cost or cell.cost,) if cost]
    return sum(cost.train_seconds for cost in costs if not math.isnan(cost.train_seconds))
