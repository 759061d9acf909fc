"""What examples contribute to metrics, against scikit-learn's weighted metrics and plain loops that leave them out."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.reporting.analysis.collect import Collected, Manifest, collect
from softprompt.reporting.analysis.contributions import SCORE, Sample, samples_of
from softprompt.reporting.analysis.intervals import by_group, scores_of
from softprompt.reporting.analysis.two_way import ALPHA, difference
from softprompt.reporting.analysis.two_way import score as cluster_score
from softprompt.tasks.load import load_task
from softprompt.tasks.metrics import METRICS

ROWS = 120


def labelled(labels: list[str], seed: int) -> pd.DataFrame:
    """Answers of which three in four are right, of labels that are not equally frequent."""
    rng = np.random.default_rng(seed)
    gold = rng.choice(labels, ROWS, p=np.arange(1, len(labels) + 1) / sum(range(len(labels) + 1)))
    said = np.where(rng.random(ROWS) < 0.75, gold, rng.choice(labels, ROWS))
    return pd.DataFrame({"id": [f"{row}" for row in range(ROWS)], "gold": gold, "prediction": said})


def multirc(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = labelled(["0", "1"], seed)
    return table.assign(id=[f"val-{row // 12}-{row // 4}-{row}" for row in rng.permutation(ROWS)])


def tagged(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    tags = np.array(["O", "B-PER", "I-PER", "B-LOC"])
    gold = [tags[rng.integers(4, size=rng.integers(3, 12))] for _ in range(ROWS)]
    said = [np.where(rng.random(len(own)) < 0.7, own, tags[rng.integers(4, size=len(own))]) for own in gold]
    rows = [
        [f"{row}", json.dumps(a.tolist()), json.dumps(b.tolist())]
        for row, (a, b) in enumerate(zip(gold, said, strict=True))
    ]
    return pd.DataFrame(rows, columns=["id", "gold", "prediction"])


def ranked(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"id": [f"{row}" for row in range(ROWS)], "gold_rank": rng.geometric(0.3, ROWS)})


def record(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    texts = ["the White House", "white house", "Washington", "New York City", "York"]
    said, gold = rng.choice(texts, ROWS), [json.dumps(sorted(set(rng.choice(texts, 2)))) for _ in range(ROWS)]
    return pd.DataFrame({"id": [f"{row}" for row in range(ROWS)], "gold": gold, "prediction": said})


TABLES: dict[str, Callable[[int], pd.DataFrame]] = {
    "accuracy": lambda seed: labelled(["a", "b", "c"], seed),
    "macro_f1": lambda seed: labelled(["a", "b", "c"], seed),
    "f1a": multirc,
    "em": multirc,
    "f1": lambda seed: labelled(["not_equivalent", "equivalent"], seed),
    "p_at_1": ranked,
    "p_at_10": ranked,
    "mrr": ranked,
    "record_em": record,
    "record_f1": record,
    "entity_f1": tagged,
    "token_accuracy": tagged,
}
WEIGHTED = {
    "accuracy": lambda table, weights: accuracy_score(table["gold"], table["prediction"], sample_weight=weights),
    "macro_f1": lambda table, w: f1_score(table["gold"], table["prediction"], average="macro", sample_weight=w),
    "f1a": lambda table, w: f1_score(table["gold"], table["prediction"], pos_label="1", sample_weight=w),
    "f1": lambda table, w: f1_score(table["gold"], table["prediction"], pos_label="equivalent", sample_weight=w),
}


def contributions(name: str, table: pd.DataFrame) -> np.ndarray:
    return METRICS[name].contributions(table, np.zeros(len(table), dtype=np.int64))


def test_every_metric_is_tested() -> None:
    assert set(TABLES) == set(METRICS)


@pytest.mark.parametrize("name", TABLES)
def test_their_mean_is_the_metric(name: str) -> None:
    table = TABLES[name](1)
    assert contributions(name, table).mean() == pytest.approx(METRICS[name](table), abs=1e-12)


@pytest.mark.parametrize("name", WEIGHTED)
def test_they_are_the_derivatives_by_weights(name: str) -> None:
    """Infinitesimal jackknife: a row's contribution is the metric plus N times its derivative by the row's weight."""
    table, step = TABLES[name](2), 1e-4
    found = contributions(name, table)
    for row in range(0, ROWS, 7):
        weights = np.ones(ROWS)
        ends = []
        for sign in (1, -1):
            weights[row] = 1 + sign * step
            ends.append(WEIGHTED[name](table, weights))
        derivative = (ends[0] - ends[1]) / (2 * step)
        assert found[row] == pytest.approx(METRICS[name](table) + ROWS * derivative, abs=1e-5)


@pytest.mark.parametrize("name", TABLES)
def test_their_spread_is_that_of_a_jackknife_over_clusters(name: str) -> None:
    """Leaving out one cluster after another (MultiRC: a passage) and computing the plain metric again; it differs by
    terms of second order, a few per cent with 40 clusters."""
    table = TABLES[name](3)
    passages = table["id"].str.split("-").str[1] if name in ("f1a", "em") else pd.Series(np.arange(ROWS) % 40)
    clusters = sorted(set(passages))
    without = [METRICS[name](table[(passages != cluster).to_numpy()]) for cluster in clusters]
    count = len(clusters)
    jackknife = (count - 1) / count * np.sum((np.array(without) - np.mean(without)) ** 2)
    residuals = contributions(name, table) - METRICS[name](table)
    sums = np.array([residuals[(passages == cluster).to_numpy()].sum() for cluster in clusters]) / ROWS
    assert count / (count - 1) * np.sum(sums**2) == pytest.approx(jackknife, rel=0.1)


@pytest.mark.parametrize("name", TABLES)
def test_cells_in_one_table_are_as_each_alone(name: str) -> None:
    tables = [TABLES[name](seed) for seed in (4, 5)]
    together = METRICS[name].contributions(pd.concat(tables), np.repeat([0, 1], ROWS))
    assert together == pytest.approx(np.concatenate([contributions(name, table) for table in tables]), abs=1e-12)


def collected_of(rows: list[dict[str, object]], task: str) -> Collected:
    none = pd.DataFrame()
    entry = {"splits": {split: {} for split in ("train", "dev", "test")}}
    definition = load_task("superglue", task, Path())
    manifest = Manifest("superglue", {"tasks": {task: entry}}, "", {task: definition}, {})
    return Collected([], [], none, pd.DataFrame(rows), none, {"superglue": manifest})


def answers(method: str, seed: int, table: pd.DataFrame, task: str, template: str = "t") -> list[dict[str, object]]:
    place = {"suite": "superglue", "task": task, "backbone": "b", "method": method, "state": "frozen"}
    place |= {"seed": seed, "template": template, "split": "test"}
    return [{**place, "group": row["id"].rpartition("-")[0] or row["id"], **row} for row in table.to_dict("records")]


def test_a_score_is_the_mean_of_its_metrics_and_manual_of_its_templates() -> None:
    tables = [multirc(6).assign(gold=multirc(6)["gold"], prediction=multirc(seed)["prediction"]) for seed in (7, 8)]
    rows = [
        row for name, table in zip("ab", tables, strict=True) for row in answers("manual", 0, table, "multirc", name)
    ]
    (sample,) = samples_of(collected_of(rows, "multirc")).values()
    expected = np.mean([[METRICS[name](table) for name in ("f1a", "em")] for table in tables])
    assert sample.values[SCORE].mean() == pytest.approx(expected)
    assert sample.values[SCORE].shape == (1, ROWS)
    assert set(sample.values) == {SCORE, "f1a", "em", "accuracy"}


def test_seeds_that_answered_different_examples_are_refused() -> None:
    rows = answers("m", 0, multirc(6), "multirc") + answers("m", 1, multirc(6).iloc[1:], "multirc")
    with pytest.raises(UserError, match="seeds of m on b answered different examples"):
        samples_of(collected_of(rows, "multirc"))


def test_intervals_hold_the_scores_that_are_reported(tmp_path: Path) -> None:
    """Every value is the mean of the same cells' scores, of manual over templates, of suites over tasks."""
    world = World()
    synthetic.make(tmp_path, world)
    collected = collect(Paths(tmp_path), synthetic.context_of(world))
    scores = collected.scores
    kept = scores["metric"].isin(("p_at_1", "accuracy", "macro_f1"))
    cells = scores[kept].groupby(["suite", "task", "backbone", "method", "split", "seed", "template"])["value"].mean()
    by_task = cells.groupby(["suite", "task", "backbone", "method", "split"]).mean()
    by_suite = by_task.groupby(["suite", "backbone", "method", "split"]).mean()
    found = scores_of(samples_of(collected), collected)
    for (place, metric), scored in found.items():
        if metric == SCORE:
            where = (place.suite, place.task, place.backbone, place.method, place.split)
            expected = by_suite[where[:1] + where[2:]] if place.task == "all" else by_task[where]
            assert float(scored.value) == pytest.approx(expected, abs=1e-12)


def test_two_halves_of_one_methods_replicates_are_told_apart_in_at_most_six_percent() -> None:
    """A/A on predictions: pseudo-methods of the same replicates, which have an effect of their own, answer resampled
    passages of MultiRC; the score is the mean of F1a and exact match."""
    rng, simulations, replicates, passages = np.random.default_rng(12), 250, 8, 40
    shape = (simulations, replicates, 6 * passages)
    hard = rng.beta(1, 3, (simulations, 1, passages)).repeat(6, axis=2) + rng.normal(0, 0.04, (*shape[:2], 1))
    right = rng.random(shape) < 1 - np.clip(hard, 0.02, 0.98)
    gold = np.broadcast_to(rng.choice(["0", "1"], shape[2]), shape)
    said = np.where(right, gold, np.where(gold == "1", "0", "1"))
    names = [f"val-{row // 6}-{row // 3}-{row}" for row in range(shape[2])]
    rows = pd.DataFrame({"id": names * (simulations * replicates), "gold": gold.ravel(), "prediction": said.ravel()})
    cells = np.arange(simulations * replicates).repeat(shape[2])
    scores = np.mean([METRICS[name].contributions(rows, cells) for name in ("f1a", "em")], axis=0).reshape(shape)
    groups = tuple(f"{row // 6}" for row in range(shape[2]))
    p_values = []
    for score in scores:
        one, other = (
            cluster_score(*by_group(Sample((0, 1, 2, 3), groups, {SCORE: half}))) for half in np.split(score, 2)
        )
        p_values.append(float(difference(one, other).p_value(one.value - other.value)))
    assert np.mean(np.array(p_values) < ALPHA) <= 0.06
