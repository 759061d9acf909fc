"""Ranks over tasks and critical differences, against scipy, the paper's worked example and plain loops."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.paths import Paths
from softprompt.reporting.analysis.collect import Collected, Manifest, collect
from softprompt.reporting.analysis.contributions import SCORE, Place, Sample
from softprompt.reporting.analysis.ranks import Ranking, has_critical_difference, rank_table, rankings
from softprompt.reporting.analysis.report import build_report
from softprompt.reporting.rendering.rankings import cliques, draw_ranks, rank_words
from softprompt.reporting.rendering.rankings import rank_table as rank_page


def ranking_of(values: dict[str, np.ndarray]) -> Ranking:
    """Of methods with scores by replicate and task, (R, T)."""
    tasks = [f"P{number}" for number in range(next(iter(values.values())).shape[1])]
    entries = {task: {"splits": {split: {} for split in ("train", "dev", "test")}} for task in tasks}
    samples = {
        Place("lama", task, "b", method, "frozen", "test"): Sample(
            tuple(range(len(scores))), ("0", "1"), {SCORE: np.repeat(scores[:, [number]], 2, axis=1)}
        )
        for method, scores in values.items()
        for number, task in enumerate(tasks)
    }
    manifest, none = Manifest("lama", {"tasks": entries}, "", {}, {}), pd.DataFrame()
    (found,) = rankings(samples, Collected([], [], none, none, none, {"lama": manifest}))
    return found


def test_ranks_are_scipys_within_every_task_and_replicate() -> None:
    rng = np.random.default_rng(1)
    values = {name: rng.integers(0, 5, (3, 6)) / 5 for name in "abcd"}  # with ties
    values["manual"] = rng.uniform(size=(1, 6))
    found = ranking_of(values)
    stacked = np.stack([np.resize(scores, (3, 6)) for scores in values.values()])
    expected = np.array([[stats.rankdata(-stacked[:, r, t]) for t in range(6)] for r in range(3)]).mean(axis=0)
    for number, method in enumerate(values):
        assert found.by_task[found.methods.index(method)] == pytest.approx(expected[:, number])
    assert list(found.means) == sorted(found.means)
    assert found.friedman_p() == pytest.approx(stats.friedmanchisquare(*expected.T).pvalue)


def test_the_interval_of_a_mean_rank_is_over_tasks_and_replicates() -> None:
    rng = np.random.default_rng(2)
    steady = ranking_of({name: rng.uniform(size=(1, 8)).repeat(4, axis=0) for name in "abc"})
    table = rank_table([steady]).query("task == 'all'").set_index("method")
    for number, method in enumerate(steady.methods):
        error = stats.sem(steady.by_task[number])
        assert table.loc[method, "high"] == pytest.approx(min(3, steady.means[number] + stats.t.ppf(0.975, 6) * error))
    wild = ranking_of({name: rng.uniform(size=(4, 1)).repeat(8, axis=1) for name in "abc"})
    assert all(float(one.excess) == pytest.approx(float(one.variance)) for one in wild.scored)


def test_critical_difference_of_the_papers_example() -> None:
    """Demsar 2006, section 3.2.2: 4 classifiers on 14 data sets, q 2.569, CD 1.25."""
    ranking = ranking_of({name: np.random.default_rng(3).uniform(size=(1, 14)) for name in "abcd"})
    assert ranking.critical_difference() == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=5e-4)
    assert ranking.critical_difference() == pytest.approx(1.25, abs=5e-3)


@pytest.mark.parametrize(("tasks", "methods", "enough"), [(4, 5, False), (5, 3, True), (9, 2, False)])
def test_five_tasks_and_three_methods_are_enough(tasks: int, methods: int, enough: bool) -> None:
    rng = np.random.default_rng(4)
    assert (
        has_critical_difference(ranking_of({f"m{n}": rng.uniform(size=(1, tasks)) for n in range(methods)})) == enough
    )


@given(st.lists(st.floats(1, 12), min_size=2, max_size=12), st.floats(0.1, 6))
def test_a_bar_joins_just_the_methods_that_lie_less_than_the_difference_apart(
    means: list[float], critical: float
) -> None:
    means = sorted(means)
    bars = cliques(means, critical)
    for first in range(len(means)):
        for second in range(first + 1, len(means)):
            joined = any(low <= first and second <= high for low, high in bars)
            assert joined == (means[second] - means[first] < critical)
    assert not [one for one in bars for other in bars if one != other and other[0] <= one[0] <= one[1] <= other[1]]


def test_the_page_and_the_plot_show_the_ranking(tmp_path: Path) -> None:
    world = World(tasks={"lama": ("P1", "P2", "P3", "P4", "P5"), "fewglue": ("rte",)})
    synthetic.make(tmp_path, world)
    context = synthetic.context_of(world)
    report = build_report(collect(Paths(tmp_path), context), context)
    drawing = draw_ranks(report, "lama")
    assert drawing is not None
    text = drawing.svg.decode()
    assert "critical difference" in text
    assert all(f"{method} (tuned)" in text for method in ("fine_tuning", "manual_fine_tuning"))
    assert all(f"{method} " in text for method in world.methods)
    page = rank_page(report, "lama").splitlines()
    assert len(page) == 2 + len(world.methods)
    assert page[-1].startswith("| `random_prompt` | frozen |")
    assert "plots/ranks_lama.svg" in rank_words(report, "lama")
    assert draw_ranks(report, "fewglue") is None
    assert rank_page(report, "fewglue") == ""
