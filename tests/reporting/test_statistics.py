"""Intervals and paired comparisons against closed forms, other libraries and plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from softprompt.reporting.analysis.statistics import holm, mean_interval, paired_difference
from softprompt.seeding import numpy_generator

FINITE = st.floats(-100, 100)


@pytest.mark.parametrize("values", [[0.5, 0.6], [0.31, 0.35, 0.42, 0.40, 0.38]])
def test_mean_interval_is_the_t_interval(values):
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (interval.mean, interval.n) == (pytest.approx(np.mean(values)), len(values))
    assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))


def test_one_seed_has_no_interval():
    interval = mean_interval([0.7])
    assert (interval.mean, interval.low, interval.high, interval.n) == (0.7, None, None, 1)


@given(st.lists(FINITE, min_size=2, max_size=9))
def test_interval_contains_its_mean(values):
    interval = mean_interval(values)
    assert interval.low <= interval.mean <= interval.high


def relations(count, size, seed):
    """Paired differences in {-1, 0, 1} of `count` relations of unequal size."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(count), rng.integers(size, 2 * size, count))
    return rng.choice([-1.0, 0.0, 1.0], len(clusters), p=[0.1, 0.5, 0.4]), clusters.tolist()


def test_macro_over_clusters_is_the_t_test_on_cluster_means():
    values, clusters = relations(10, 40, seed=1)
    result = paired_difference(values, clusters, ["lama"] * len(values), macro=True, stream="a", resamples=20_000)
    means = [values[np.array(clusters) == cluster].mean() for cluster in range(10)]
    expected = stats.ttest_1samp(means, 0)
    low, high = expected.confidence_interval(0.95)
    assert result.effect == pytest.approx(np.mean(means))
    assert (result.low, result.high) == (pytest.approx(low, rel=0.03), pytest.approx(high, rel=0.03))
    assert result.p == pytest.approx(expected.pvalue, rel=0.2)
    assert (result.clusters, result.examples) == (10, len(values))


@pytest.mark.parametrize("macro", [True, False])
def test_equals_a_loop_over_resamples(macro):
    values, clusters = relations(7, 5, seed=2)
    result = paired_difference(values, clusters, [0] * len(values), macro=macro, stream="b", resamples=50)
    by_cluster = [values[np.array(clusters) == cluster] for cluster in range(7)]
    drawn = numpy_generator("b", "bootstrap").integers(7, size=(50, 7))
    effects = []
    for draw in drawn:
        chosen = [by_cluster[cluster] for cluster in draw]
        effects.append(np.mean([c.mean() for c in chosen]) if macro else np.concatenate(chosen).mean())
    error = np.std(effects, ddof=1) * np.sqrt(7 / 6)
    quantile = stats.t.ppf(0.975, 6)
    assert (result.high - result.low) / 2 == pytest.approx(quantile * error)
    assert result.p == pytest.approx(2 * stats.t.sf(abs(result.effect) / error, 6))
    assert result.effect == pytest.approx(np.mean([c.mean() for c in by_cluster]) if macro else values.mean())


def test_tasks_count_equally_whatever_their_size():
    values = np.array([1.0] * 100 + [0.0] * 4)
    strata = ["large"] * 100 + ["small"] * 4
    result = paired_difference(values, list(range(104)), strata, macro=False, stream="c")
    assert result.effect == pytest.approx(0.5)
    assert (result.low, result.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_whole_clusters_are_resampled():
    """Ten copies of every example in one cluster say no more than the example alone."""
    values, _ = relations(30, 1, seed=3)
    alone = paired_difference(values, range(len(values)), [0] * len(values), macro=False, stream="d")
    tenfold = paired_difference(
        np.repeat(values, 10),
        np.repeat(range(len(values)), 10).tolist(),
        [0] * 10 * len(values),
        macro=False,
        stream="d",
    )
    assert (tenfold.effect, tenfold.low, tenfold.p) == (
        pytest.approx(alone.effect),
        pytest.approx(alone.low),
        pytest.approx(alone.p),
    )


def test_a_lone_cluster_has_an_effect_but_no_interval():
    result = paired_difference(np.ones(8), ["P19"] * 8, ["lama"] * 8, macro=True, stream="e")
    assert (result.effect, result.low, result.high, result.p) == (1.0, None, None, None)


def test_an_interval_never_leaves_what_a_difference_of_shares_can_be():
    result = paired_difference(np.array([0.0, 1.0]), ["P1", "P2"], [0, 0], macro=True, stream="h")
    assert (result.low, result.high) == (-1.0, 1.0)


def test_no_difference_at_all_is_no_evidence():
    result = paired_difference(np.zeros(40), range(40), [0] * 40, macro=False, stream="f")
    assert (result.effect, result.low, result.high, result.p) == (0.0, 0.0, 0.0, 1.0)


def test_same_stream_same_numbers():
    values, clusters = relations(10, 20, seed=4)
    first, second = (paired_difference(values, clusters, [0] * len(values), macro=True, stream="g") for _ in range(2))
    assert first == second


def test_ten_relations_are_covered_as_often_as_promised():
    """Relations differ in their true effect, facts scatter around it: 95 % of the intervals hold the mean."""
    rng = np.random.default_rng(5)
    hits, simulations, clusters = 0, 600, np.repeat(np.arange(10), 20).tolist()
    for number in range(simulations):
        chance = np.clip(0.3 + rng.normal(0, 0.15, 10), 0, 1).repeat(20)
        values = (rng.uniform(size=200) < chance) - 0.3
        result = paired_difference(values, clusters, [0] * 200, macro=True, stream=f"{number}", resamples=300)
        hits += result.low <= 0.0 <= result.high
    assert 0.92 <= hits / simulations <= 0.98


@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_holm_equals_statsmodels(size):
    p_values = np.random.default_rng(size).uniform(0, 0.2, size).round(2).tolist()  # with ties
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_an_empty_family_is_fine():
    assert holm([]) == []
