"""The first tables of a report, and what stays out of tables: bounds of too few replicates, numbers said twice."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.paths import Paths
from softprompt.records import write_record
from softprompt.reporting.aggregate import aggregate
from softprompt.results import TrainResult

WORLD = World()
PLACE = ["suite", "backbone", "method"]

pytestmark = pytest.mark.xdist_group("answers")


def report_on(root: Path, world: World) -> Path:
    synthetic.make(root, world)
    aggregate(Paths(root), synthetic.context_of(world))
    return root / "reports"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_on(tmp_path_factory.mktemp("answers"), WORLD)


def answer_parts(reports: Path) -> Iterator[tuple[str, list[list[str]], str]]:
    """A suite's title, the rows of its answers, and the line below that names the others."""
    readme = (reports / "README.md").read_text()
    part = readme.split("## Which method")[1].split("Methods that may be the best")[0]
    for title, text in re.findall(r"\*\*(.+?)\*\*\n\n(.*?)(?=\n\*\*|\Z)", part, re.DOTALL):
        lines = [line for line in text.splitlines() if line.startswith("|")][2:]
        yield title, [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in lines], text


def shown_means(reports: Path) -> pd.DataFrame:
    """The means of suites with the rows and parameters of their methods."""
    means = pd.read_csv(reports / "intervals.csv").query("task == 'all' and metric == 'score' and split == 'test'")
    costs = pd.read_csv(reports / "costs.csv")
    return means.merge(costs, on=PLACE, how="left").fillna({"search_rows_forward": 0, "parameters_kept": 0})


def test_answers_are_the_cheapest_and_highest_of_those_that_may_be_best(reports: Path) -> None:
    means = shown_means(reports)
    titles = {"4 relations of LAMA": "lama", "BoolQ and CB of SuperGLUE": "superglue", "RTE of FewGLUE": "fewglue"}
    parts = list(answer_parts(reports))
    assert [title for title, _, _ in parts] == list(titles)
    for title, rows, text in parts:
        best = means[(means["suite"] == titles[title]) & means["may_be_best"]]
        named = {name for line in text.splitlines() for name in re.findall("`(.+?)`", line)}
        assert named == set(best["method"])
        taken = {(row[0], row[1], row[2]) for row in rows}
        for (backbone, state), own in best.groupby(["backbone", "state"]):
            assert taken >= {(backbone, state, own.loc[own["score"].idxmax(), "method"])}
            for one in own.itertuples():
                beaten = own[
                    (own["score"] >= one.score)
                    & (own["search_rows_forward"] <= one.search_rows_forward)
                    & (own["parameters_kept"] <= one.parameters_kept)
                    & (own["method"] != one.method)
                ]
                assert ((backbone, state, one.method) in taken) == beaten.empty


def test_answers_say_score_and_cost(reports: Path) -> None:
    means = shown_means(reports).set_index(PLACE)
    (rows,) = [rows for title, rows, _ in answer_parts(reports) if title.endswith("LAMA")]
    for backbone, state, method, score, passed, kept, undertuned in rows:
        row = means.loc[("lama", backbone, method)]
        assert (state, score) == (row["state"], f"{100 * row['score']:.1f} ±{50 * (row['high'] - row['low']):.1f}")
        assert int(passed.replace(",", "")) == round(row["search_rows_forward"])
        assert int(kept.replace(",", "")) == row["parameters_kept"]
        assert undertuned == ("–" if pd.isna(row["undertuned"]) else f"{100 * row['undertuned']:.0f} %")


def test_where_most_is_undertuned_the_highest_has_a_question_mark(tmp_path: Path) -> None:
    world = World(tasks={"lama": ("P1", "P2")}, methods=("manual", "prompt_tuning", "p_tuning"), trials=2)
    synthetic.make(tmp_path, world)
    for path in tmp_path.glob("results/train/tiny_bert/*/result.json"):
        result = TrainResult.model_validate_json(path.read_text())
        late = [
            cell.model_copy(update={"best_step": cell.curve[-1].step if cell.curve else None}) for cell in result.cells
        ]
        write_record(path, result.model_copy(update={"cells": late}))
    aggregate(Paths(tmp_path), synthetic.context_of(world))
    ((_, rows, _),) = answer_parts(tmp_path / "reports")
    assert [row[2].replace("`", "") for row in rows if row[0] == "tiny_bert"] == ["p_tuning (?)"]
    assert not any("(?)" in row[2] for row in rows if row[0] == "tiny_gpt2")


@pytest.mark.parametrize("seeds", [(100,), (100, 101), (100, 101, 102)])
def test_fewer_than_three_replicates_have_no_margin(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    methods = ("random_prompt", "manual", "fine_tuning", "p_tuning")
    tasks = {"lama": ("P1", "P2"), "superglue": ("boolq", "cb")}
    found = report_on(tmp_path, World(backbones=("tiny_bert",), methods=methods, tasks=tasks, seeds=seeds))
    for page in ("README.md", "lama.md", "superglue.md"):
        lines = [line for line in (found / page).read_text().splitlines() if line.startswith("|") and "±" in line]
        assert any("`manual`" in line for line in lines)
        for method in ("fine_tuning", "p_tuning"):
            assert any(f"`{method}`" in line for line in lines) == (len(seeds) == 3)
    assert ("whose scatter takes 3 replicates to show" in (found / "README.md").read_text()) == (len(seeds) < 3)
    intervals = pd.read_csv(found / "intervals.csv").query("split == 'test' and metric == 'score'")
    assert intervals.query("method == 'p_tuning'")["low"].isna().all() == (len(seeds) < 3)
    assert intervals.query("method == 'p_tuning'")["may_be_best"].any()  # it competes by bounds that are not shown


def test_a_lone_task_is_not_shown_twice(tmp_path: Path) -> None:
    world = replace(WORLD, tasks={"lama": ("P1",), "superglue": ("boolq",)})
    found = report_on(tmp_path, world)
    lama, boolq = ((found / f"{suite}.md").read_text() for suite in world.tasks)
    assert "P@1 macro" in lama
    assert not any(words in lama for words in ("P@1 micro", "by relation,", "By type", "P@10 / MRR"))
    assert "## tiny_bert" not in boolq
    intervals = pd.read_csv(found / "intervals.csv").query("metric == 'score' and split == 'test'")
    numbers = ["score", "low", "high", "replicates", "clusters", "examples", "may_be_best", "undertuned"]
    both = [intervals.query(f"task {sign} 'all'").set_index([*PLACE])[numbers] for sign in ("==", "!=")]
    pd.testing.assert_frame_equal(*both)  # one comparison, one verdict
    comparisons = pd.read_csv(found / "comparisons.csv")
    verdicts = ["against", "effect", "low", "high", "p", "needed", "drops_out"]
    alike = [
        comparisons[comparisons["family"].str.endswith(kind)].set_index(PLACE)[verdicts] for kind in ("table", "tasks")
    ]
    pd.testing.assert_frame_equal(*alike)


def test_micro_is_shown_where_it_differs(tmp_path: Path, reports: Path) -> None:
    assert "P@1 micro" not in (reports / "lama.md").read_text()
    uneven = report_on(tmp_path, World(dropped=(("P2", "tiny_bert", 20),), tasks={"lama": ("P1", "P2", "P3")}))
    assert "P@1 micro" in (uneven / "lama.md").read_text()
