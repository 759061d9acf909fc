"""Reports from synthetic results whose truth is known."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.records import write_record
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.analysis.controls import verdict_of
from softprompt.reporting.rendering.markdown import interval, p_value, percent, points, with_margin
from softprompt.result_files import read_train_result, seal_folder
from softprompt.results import TrainResult
from softprompt.tasks.load import load_task

HOLES = World(
    failed=(("cb", "tiny_bert", "p_tuning", 100),),
    absent=tuple(("cb", "tiny_gpt2", "prompt_tuning", seed) for seed in (100, 101, 102)),
    not_applicable=(("rte", "tiny_gpt2", "fine_tuning"),),
    dropped=(("P1", "tiny_gpt2", 5), ("P4", "tiny_gpt2", 2)),
)

pytestmark = pytest.mark.xdist_group("reporting")  # one worker makes what the module shares


def report_on(root: Path, world: World) -> Path:
    """Whatever a test made of the evaluation, as if it had been written so."""
    for folder in root.glob("results/evaluate/*"):
        seal_folder(folder)
    aggregate(Paths(root), synthetic.context_of(world))
    return root / "reports"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    synthetic.make(root, World())
    report_on(root, World())
    return root


@pytest.fixture(scope="module")
def holes(tmp_path_factory):
    root = tmp_path_factory.mktemp("holes")
    synthetic.make(root, HOLES)
    return report_on(root, HOLES)


def contents(reports: Path) -> dict[str, bytes]:
    paths = [path for path in reports.rglob("*") if path.is_file() and path.stem != "timings"]
    return {path.relative_to(reports).as_posix(): path.read_bytes() for path in paths}


def test_made_twice_it_is_the_same_bytes(root):
    first = contents(root / "reports")
    assert {"README.md", "lama.md", "scores.csv", "plots/scores_lama.svg", "plots/tasks.svg"} <= set(first)
    assert contents(report_on(root, World())) == first


def test_order_of_cells_and_predictions_does_not_matter(root, tmp_path):
    synthetic.make(tmp_path, World())
    for path in tmp_path.glob("results/train/*/*/result.json"):
        result = TrainResult.model_validate_json(path.read_text())
        write_record(path, result.model_copy(update={"cells": result.cells[::-1]}))
    for folder in tmp_path.glob("results/evaluate/*"):
        pd.read_parquet(folder / "predictions.parquet").iloc[::-1].to_parquet(folder / "predictions.parquet")
    turned, straight = contents(report_on(tmp_path, World())), contents(root / "reports")
    assert turned.pop("provenance.json") != straight.pop("provenance.json")  # the files that were read are others
    assert turned == straight


def test_nothing_names_a_place_or_a_time(root):
    for name, content in contents(root / "reports").items():
        text = content.decode()
        assert str(root) not in text, name
        assert not re.search(r"\b20\d\d-\d\d-\d\d", text), name


def test_links_and_images_lead_somewhere(root, holes):
    for reports in (root / "reports", holes):
        for page in reports.glob("*.md"):
            for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
                assert (reports / target).is_file(), f"{page.name} -> {target}"


def test_pages_end_with_one_newline(root):
    for page in (root / "reports").glob("*.md"):
        assert re.search(r"\S\n\Z", page.read_text()), page.name


def test_every_plot_is_shown_or_linked(root):
    drawn = {path.name for path in (root / "reports/plots").iterdir()}
    expected = {f"{kind}_{suite}.svg" for kind in ("scores", "wordings", "curves") for suite in World().tasks}
    overviews = ("tasks", "pareto_rows", "pareto_kept", "expected_validation", "pretraining")
    assert drawn == expected | {f"{name}.svg" for name in overviews}
    pages = "".join(path.read_text() for path in (root / "reports").glob("*.md"))
    assert all(f"](plots/{name})" in pages for name in drawn)


def test_scores_have_the_promised_columns_and_a_row_a_cell_and_metric(root):
    scores = pd.read_csv(root / "reports/scores.csv")
    assert list(scores.columns) == [
        "suite", "task", "backbone", "method", "state", "seed", "split", "metric", "value", "n_examples",
        "higher_is_better",
    ]  # fmt: skip
    assert not scores.duplicated(["suite", "task", "backbone", "method", "seed", "split", "metric"]).any()
    raw = pd.read_parquet(root / "results/evaluate/tiny_bert/predictions.parquet")
    manual = raw[(raw["method"] == "manual") & (raw["task"] == "P2") & (raw["split"] == "test")]
    expected = (manual["gold"] == manual["prediction"]).groupby(manual["template"]).mean().mean()
    row = scores.query(
        "method == 'manual' and task == 'P2' and backbone == 'tiny_bert' and metric == 'p_at_1' and split == 'test'"
    )
    assert row["value"].item() == pytest.approx(expected, abs=1e-6)


def test_metrics_are_the_highest_means_over_tasks_of_means_over_seeds(root):
    metrics = json.loads((root / "reports/metrics.json").read_text())
    scores = pd.read_csv(root / "reports/scores.csv").query("split == 'test'")
    here = scores.query("suite == 'lama' and backbone == 'tiny_gpt2' and method == 'p_tuning' and metric == 'p_at_1'")
    by_task = [group["value"].mean() for _, group in here.groupby("task")]
    found = metrics["lama"]["tiny_gpt2"]["p_tuning"]
    assert found["score"] == pytest.approx(np.mean(by_task), abs=1e-4)
    assert found["low"] < found["score"] < found["high"]
    assert set(found) == {"score", "low", "high"}
    highest = {"p_tuning", "manual_fine_tuning"}  # of the frozen and of the tuned ones
    assert all(set(methods) == highest for backbones in metrics.values() for methods in backbones.values())
    cb = scores.query("suite == 'superglue' and task == 'cb' and backbone == 'tiny_bert' and method == 'majority'")
    boolq = scores.query(
        "suite == 'superglue' and task == 'boolq' and backbone == 'tiny_bert' and method == 'majority'"
    )
    expected = (cb["value"].mean() + boolq["value"].mean()) / 2  # a task's metrics first, then tasks
    means = pd.read_csv(root / "reports/intervals.csv").query("task == 'all' and metric == 'score'")
    mean = means.query("suite == 'superglue' and backbone == 'tiny_bert' and method == 'majority'")
    assert mean["score"].item() == pytest.approx(expected, abs=1e-6)


def test_key_comparison_is_the_mean_difference_on_the_same_facts(root):
    row = (
        pd.read_csv(root / "reports/comparisons.csv")
        .query("family == 'key' and backbone == 'tiny_bert' and against == 'manual'")
        .iloc[0]
    )
    examples = pd.read_parquet(root / "results/evaluate/tiny_bert/predictions.parquet")
    facts = examples[(examples["suite"] == "lama") & (examples["split"] == "test")]
    facts = facts.assign(correct=facts["gold"] == facts["prediction"])
    means = facts.groupby(["method", "task", "id"])["correct"].mean()
    by_relation = (means["p_tuning"] - means["manual"]).groupby(level="task").mean()
    assert row["effect"] == pytest.approx(by_relation.mean(), abs=1e-6)
    assert row["low"] < row["effect"] < row["high"]
    assert (row["clusters"], row["replicates"], row["replicates_against"]) == (4, 3, 1)
    assert row["p_holm"] >= row["smallest_p"] == 4 * 2 / 2**4  # four comparisons, and flips of four relations
    readme = (root / "reports/README.md").read_text()
    numbers = (
        f"{points(row['effect'])} points (95 % interval {interval(row['low'], row['high'])}; {p_value(row['p_holm'])}, "
        f"smallest possible 0.5; not distinguishable by so few relations)"
    )
    assert f"{numbers} against the mean manual template" in readme
    assert "against the best one chosen on dev" in readme


def test_p_values_are_corrected_within_the_key_family_alone(root):
    comparisons = pd.read_csv(root / "reports/comparisons.csv")
    key = comparisons.query("family == 'key'")
    assert len(key) == 4
    assert key["p_holm"].min() == pytest.approx(min(1, key["p"].min() * len(key)), abs=1e-5)
    assert comparisons.query("family != 'key'")["p_holm"].isna().all()


def table_rows(page: Path, heading: str) -> dict[str, list[str]]:
    """First table after a heading: first cell -> the others."""
    lines = page.read_text().split(heading, 1)[1].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    first = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return {row[0].strip(" `"): row[1:] for row in first[2:11]}


def test_headline_marks_all_that_may_be_the_best_of_their_state(root):
    rows = table_rows(root / "reports/README.md", "of SuperGLUE\n")
    whole = pd.read_csv(root / "reports/intervals.csv").query(
        "suite == 'superglue' and task == 'all' and backbone == 'tiny_bert' and split == 'test' and metric == 'score'"
    )
    comparisons = pd.read_csv(root / "reports/comparisons.csv")
    out = comparisons.query("family == 'superglue table' and backbone == 'tiny_bert' and drops_out")
    assert {"majority", "random_prompt"} <= set(out["method"])
    assert (-out["effect"] > out["needed"]).all()
    marked = {method for method, cells in rows.items() if cells[1].endswith("●")}
    assert marked == set(whole["method"]) - set(out["method"]) == set(whole[whole["may_be_best"]]["method"])
    for _, own in whole.groupby("state"):
        assert own.loc[own["score"].idxmax(), "method"] in marked
    assert list(rows)[:5] == ["majority", "random_prompt", "random_backbone", "manual", "manual_best"]
    assert (rows["p_tuning"][0], rows["fine_tuning"][0]) == ("frozen", "tuned")


def test_every_mean_has_its_interval_untrained_ones_too(root):
    means = pd.read_csv(root / "reports/intervals.csv").query(
        "suite == 'lama' and task == 'all' and metric == 'score' and split == 'test' and backbone == 'tiny_bert'"
    )
    shown = table_rows(root / "reports/README.md", "of LAMA\n")
    assert set(means["method"]) == set(shown)
    for row in means.itertuples():
        assert with_margin(row.score, row.low, row.high) in shown[row.method][1]
        assert "±" in shown[row.method][1]


def test_intervals_say_what_they_are_over(root):
    intervals = pd.read_csv(root / "reports/intervals.csv").query("split == 'test' and metric == 'score'")
    own = {(row.suite, row.task, row.method): row for row in intervals.query("backbone == 'tiny_bert'").itertuples()}
    sizes = {
        place: (own[place].replicates, own[place].clusters, own[place].examples)
        for place in (("lama", "all", "p_tuning"), ("lama", "P1", "manual"), ("superglue", "all", "fine_tuning"))
    }
    assert list(sizes.values()) == [(3, 4, 140), (1, 18, 35), (3, 36, 70)]
    ranks = intervals.query("suite == 'lama' and task == 'all' and backbone == 'tiny_bert'")["rank"]
    assert ranks.sum() == pytest.approx(len(ranks) * (len(ranks) + 1) / 2, abs=1e-5)


def test_a_shared_study_is_told_beside_every_interval(root, tmp_path):
    context = replace(synthetic.context_of(World()), scheme="shared")
    aggregate(Paths(root), context, tmp_path)
    for page in ("README.md", "lama.md", "superglue.md"):
        assert "**It leaves tuning out:" in (tmp_path / page).read_text()
        assert "leaves tuning out" not in (root / "reports" / page).read_text()


def test_a_suite_goes_by_the_tasks_that_are_there(root):
    readme = (root / "reports/README.md").read_text()
    assert re.findall("^### (.* of .*)$", readme, re.MULTILINE) == [
        "4 relations of LAMA", "BoolQ and CB of SuperGLUE", "RTE of FewGLUE",
    ]  # fmt: skip
    assert "mean over 1 task" not in readme


def test_controls_are_judged_by_a_margin(root):
    controls = pd.read_csv(root / "reports/controls.csv")
    assert len(controls) == 6
    for row in controls.itertuples():
        expected = "holds" if row.high < row.margin else "fails" if row.low > row.margin else "undecided"
        assert row.verdict == expected
        assert row.lead == pytest.approx(row.score - row.score_against, abs=2e-6)
    readme = (root / "reports/README.md").read_text()
    assert f"{(controls['verdict'] == 'holds').sum()} of 6 controls hold" in readme
    assert "below 5 points" in readme
    assert [verdict_of(*bounds) for bounds in ((-0.1, 0.04), (0.06, 0.2), (-0.1, 0.06), (np.nan, np.nan))] == [
        "holds", "fails", "undecided", "undecided",
    ]  # fmt: skip


def test_holes_are_named_with_their_reasons(holes):
    readme = (holes / "README.md").read_text()
    assert "failed: `p_tuning` on tiny_bert, superglue (cb, seed 100): loss became NaN at step 12" in readme
    assert "missing: `prompt_tuning` on tiny_gpt2, superglue (cb, seed 100; cb, seed 101; cb, seed 102)" in readme
    (line,) = [line for line in readme.splitlines() if "not applicable: `fine_tuning` on tiny_gpt2, fewglue" in line]
    assert line.endswith("): the task needs a causal backbone")
    superglue = table_rows(holes / "README.md", "of SuperGLUE\n")
    assert "(1 of 2 tasks)" in superglue["prompt_tuning"][2]
    assert "(2 of 3 replicates)" in superglue["p_tuning"][1]
    assert table_rows(holes / "README.md", "of FewGLUE\n")["fine_tuning"][2] == "n/a"


def test_facts_without_a_one_token_answer_are_counted(holes):
    line = "**tiny_gpt2**: 7 of 140 test examples left out, in 2 of 4 tasks, because their answer is not one token."
    for page in ("README.md", "lama.md"):
        assert line in (holes / page).read_text()
    assert "left out" not in (holes / "superglue.md").read_text()


def test_an_incomplete_method_is_never_best(tmp_path):
    world = World(absent=tuple(("cb", name, "p_tuning", seed) for name in World().backbones for seed in World().seeds))
    synthetic.make(tmp_path, world)
    shown = table_rows(report_on(tmp_path, world) / "README.md", "of SuperGLUE\n")["p_tuning"]
    assert all("(1 of 2 tasks)" in cell and "●" not in cell for cell in shown[1:])


def test_a_file_that_stands_in_for_the_published_one_is_named(root):
    assert "- superglue/cb: train is a part\n" in (root / "reports/README.md").read_text()


def test_edges_are_told_in_words(root):
    readme = (root / "reports/README.md").read_text()
    settings = pd.read_csv(root / "reports/hyperparameters.csv", keep_default_na=False)
    assert (settings.query("method == 'prompt_tuning' and name == 'learning_rate'")["edge"] == "upper").all()
    assert f"{(settings['edge'] != '').sum()} of the {len(settings)} chosen values sit on the edge" in readme
    assert (settings.groupby(["backbone", "method", "seed", "name"])["study"].value_counts() == 1).all()
    assert "lama" in set(settings["study"])


def test_templates_and_their_spread(root):
    templates = pd.read_csv(root / "reports/templates.csv")
    assert len(templates.query("suite == 'lama' and split == 'test' and metric == 'p_at_1'")) == 2 * 4 * 5
    assert templates.query("chosen_on_dev")["template"].str.endswith("-t0").all()
    here = templates.query("task == 'P3' and backbone == 'tiny_bert' and split == 'test' and metric == 'p_at_1'")[
        "value"
    ]
    assert (
        f"| {percent(here.min())} | {percent(here.mean())} | {percent(here.max())} |"
        in (root / "reports/lama.md").read_text()
    )


def test_every_wording_stands_beside_its_score(root, tmp_path):
    """Of LAMA from the prepared templates, elsewhere from the task's definition; a bar would end the cell."""
    assert "| P3 | P3-t2 | `{subject} is 2 {mask}.` |" in (root / "reports/lama.md").read_text()
    world = World(
        backbones=("tiny_bert",), methods=("manual",), tasks={"superglue": ("cb",), "lama": ("P1",)}, templates=1
    )
    synthetic.make(tmp_path, world)
    first = load_task("superglue", "cb", tmp_path).manual[0]
    predictions = tmp_path / "results/evaluate/tiny_bert/predictions.parquet"
    pd.read_parquet(predictions).replace({"template": {"cb-t0": first.id}}).to_parquet(predictions, index=False)
    trained = tmp_path / "results/train/tiny_bert/manual/result.json"
    renamed = trained.read_text().replace('"cb-t0"', f'"{first.id}"')
    write_record(trained, TrainResult.model_validate_json(renamed))
    wordings = tmp_path / "data/prepared/lama/P1/templates.json"
    wordings.write_text(wordings.read_text().replace("} is 0 {", "} | {"))
    reports = report_on(tmp_path, world)
    assert f"| cb | {first.id} | `{first.text}` |" in (reports / "superglue.md").read_text()
    assert r"| P1 | P1-t0 | `{subject} \| {mask}.` |" in (reports / "lama.md").read_text()


def test_a_stopped_cell_keeps_its_last_score_in_the_mean_curve(tmp_path):
    world = World(tasks={"lama": ("P1",)}, methods=("p_tuning",), backbones=("tiny_bert",))
    synthetic.make(tmp_path, world)
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    result = TrainResult.model_validate_json(path.read_text())
    stopped = result.cells[0].model_copy(update={"curve": result.cells[0].curve[:1]})
    write_record(path, result.model_copy(update={"cells": [stopped, *result.cells[1:]]}))
    last = pd.read_csv(report_on(tmp_path, world) / "curves.csv").iloc[-1]
    scores = [stopped.curve[-1].dev_score] + [cell.curve[-1].dev_score for cell in result.cells[1:]]
    assert last["dev_score"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert (last["cells"], last["running"]) == (3, 2)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_ran_away_leaves_the_mean_curve_whole(tmp_path, loss):
    world = World(tasks={"lama": ("P1",)}, methods=("p_tuning",), backbones=("tiny_bert",))
    synthetic.make(tmp_path, world)
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    result = TrainResult.model_validate_json(path.read_text())
    first = result.cells[0]
    diverged = first.model_copy(
        update={"curve": [*first.curve[:-1], first.curve[-1].model_copy(update={"train_loss": loss})]}
    )
    write_record(path, result.model_copy(update={"cells": [diverged, *result.cells[1:]]}))
    last = pd.read_csv(report_on(tmp_path, world) / "curves.csv").iloc[-1]
    others = [cell.curve[-1].train_loss for cell in result.cells[1:]]
    assert last["train_loss"] == pytest.approx(np.mean([first.curve[-2].train_loss, *others]), abs=1e-3)


def test_pages_of_suites_no_longer_planned_go(tmp_path):
    synthetic.make(tmp_path, World())
    reports = report_on(tmp_path, World())
    (reports / "bench.json").write_text("{}")
    small = World(tasks={"lama": ("P1", "P2", "P3", "P4")})
    aggregate(Paths(tmp_path), synthetic.context_of(small))
    names = {path.relative_to(reports).as_posix() for path in reports.rglob("*")}
    assert not {"fewglue.md", "superglue.md", "plots/scores_fewglue.svg", "plots/curves_superglue.svg"} & names
    assert {"lama.md", "bench.json", "plots/scores_lama.svg"} <= names


@pytest.mark.parametrize(
    "world",
    [
        World(backbones=("tiny_bert",), methods=("majority", "fine_tuning"), tasks={"fewglue": ("rte",)}),
        World(backbones=("tiny_bert",), methods=("p_tuning",), tasks={"lama": ("P1",)}, seeds=(100,)),
        World(methods=("manual", "p_tuning"), tasks={"lama": ("P1", "P2"), "superglue": ("boolq",)}, trials=2),
    ],
    ids=["no lama", "one of everything", "no controls"],
)
def test_smaller_grids_make_a_report_too(tmp_path, world):
    synthetic.make(tmp_path, world)
    readme = (report_on(tmp_path, world) / "README.md").read_text()
    assert all(f"`{method}`" in readme for method in world.methods)
    assert not re.search(r"\bnan\b", readme)


def test_nothing_evaluated_yet_is_said(tmp_path):
    synthetic.make(tmp_path, World())
    for path in tmp_path.glob("results/evaluate/*/*"):
        path.unlink()
    assert "trained but not evaluated" in (report_on(tmp_path, World()) / "README.md").read_text()


def test_a_table_of_another_version_is_refused(tmp_path):
    synthetic.make(tmp_path, World())
    path = tmp_path / "results/evaluate/tiny_bert/coverage.csv"
    pd.read_csv(path).drop(columns="kept").to_csv(path, index=False)
    with pytest.raises(UserError, match=r"coverage\.csv: columns are .* expected .*kept.*dvc repro"):
        report_on(tmp_path, World())


def test_a_broken_result_names_file_and_field(tmp_path):
    synthetic.make(tmp_path, World())
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    content = json.loads(path.read_text())
    content["cells"][0]["seed"] = "first"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"result\.json: field 'cells\.0\.seed'"):
        report_on(tmp_path, World())


def test_a_result_that_was_edited_is_refused_by_all_who_read_it(tmp_path):
    """Also where it says what might have been: nothing in a report follows from an edited dev score."""
    synthetic.make(tmp_path, World())
    path = tmp_path / "results/train/tiny_bert/p_tuning/result.json"
    content = json.loads(path.read_text())
    content["cells"][0]["dev_score"] = 1.0
    path.write_text(json.dumps(content, indent=1) + "\n")
    said = r"p_tuning/result\.json: changed since it was written; delete it and run `dvc repro` again"
    with pytest.raises(UserError, match=said):
        report_on(tmp_path, World())
    with pytest.raises(UserError, match=said):  # as `evaluate` and `predict` read it
        read_train_result(path)


def test_ways_to_write_numbers():
    assert [percent(0.1234), percent(None), percent(1.0), percent(-0.0)] == ["12.3", "–", "100.0", "0.0"]
    assert [points(0.1234), points(-0.02), points(0.0001), points(-0.0001)] == ["+12.3", "-2.0", "0.0", "0.0"]
    assert [p_value(0.0004), p_value(0.0421)] == ["p < 0.001", "p = 0.042"]
    assert with_margin(0.5, 0.4, 0.6) == "50.0 ±10.0"


def test_a_mostly_undertuned_column_has_no_best(tmp_path):
    world = World(tasks={"lama": ("P1", "P2")}, methods=("manual", "prompt_tuning", "p_tuning"), trials=2)
    synthetic.make(tmp_path, world)
    for path in tmp_path.glob("results/train/tiny_bert/*/result.json"):
        result = TrainResult.model_validate_json(path.read_text())
        late = [
            cell.model_copy(update={"best_step": cell.curve[-1].step if cell.curve else None}) for cell in result.cells
        ]
        write_record(path, result.model_copy(update={"cells": late}))
    reports = report_on(tmp_path, world)
    shown = table_rows(reports / "README.md", "of LAMA\n")
    assert not any("●" in cells[1] for cells in shown.values())
    assert any("●" in cells[2] for cells in shown.values())
    assert shown["p_tuning"][1].endswith("▲")
    assert "▲" not in shown["manual"][1]
    intervals = pd.read_csv(reports / "intervals.csv").query("backbone == 'tiny_bert' and split == 'test'")
    assert not intervals["may_be_best"].any()
    assert set(intervals.query("method == 'p_tuning'")["undertuned"]) == {1.0}
    assert intervals.query("method == 'manual'")["undertuned"].isna().all()
