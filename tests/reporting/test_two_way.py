"""The two-way interval against closed forms, other libraries, plain loops and simulations."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from helpers.coverage import HEAD, PAGE, coverage, gamma, rows, simulated
from softprompt.reporting.analysis.comparisons import holm
from softprompt.reporting.analysis.two_way import (
    ALPHA,
    Layout,
    cluster_variance,
    difference,
    score,
    sign_flip_p,
    spread_of,
)

SIMULATIONS = 4000
NUMBER = re.compile(r"\d+\.\d")


def layout_of(*sizes: int, weights: np.ndarray | None = None) -> Layout:
    """Clusters of so many strata; all of one weight within a stratum, strata of one weight."""
    strata = np.repeat(np.arange(len(sizes)), sizes)
    equal = np.repeat([1 / len(sizes) / size for size in sizes], sizes)
    return Layout(tuple(range(sum(sizes))), equal if weights is None else weights / weights.sum(), strata)


def test_one_replicate_is_the_t_interval_over_clusters_with_a_degree_of_freedom_less():
    values = np.random.default_rng(1).normal(0.6, 0.2, 12)
    found = score(values[None], layout_of(12))
    assert float(found.value) == pytest.approx(values.mean())
    assert float(spread_of(found).variance) == pytest.approx(stats.sem(values) ** 2)
    assert float(spread_of(found).margin()) == pytest.approx(stats.t.ppf(0.975, 10) * stats.sem(values))


def test_replicates_alone_are_their_t_interval():
    """Where all clusters answer alike, only replicates scatter."""
    means = np.array([0.5, 0.55, 0.7, 0.62, 0.58])
    found = score(np.repeat(means[:, None], 8, axis=1), layout_of(8))
    low, high = stats.t.interval(0.95, 4, loc=means.mean(), scale=stats.sem(means))
    assert (float(found.variance), float(found.excess)) == (pytest.approx(stats.sem(means) ** 2),) * 2
    assert float(spread_of(found).margin()) == pytest.approx((high - low) / 2)


def test_sources_are_those_of_a_two_way_analysis_of_variance():
    """V_clusters + V_replicates - V_interaction from the mean squares that statsmodels finds."""
    rng = np.random.default_rng(2)
    replicates, clusters = 5, 7
    cells = rng.normal(size=(replicates, 1)) + rng.normal(size=clusters) + rng.normal(size=(replicates, clusters))
    rows = [{"y": cells[r, g], "r": r, "g": g} for r in range(replicates) for g in range(clusters)]
    squares = anova_lm(ols("y ~ C(r) + C(g)", data=pd.DataFrame(rows)).fit())["mean_sq"]
    count = replicates * clusters
    found = score(cells, layout_of(clusters))
    assert float(found.variance) == pytest.approx(squares["C(r)"] / count)
    assert float(found.variance - found.excess) == pytest.approx(squares["Residual"] / count)
    expected = (squares["C(r)"] + squares["C(g)"] - squares["Residual"]) / count
    assert float(spread_of(found).variance) == pytest.approx(expected)


def test_clusters_variance_equals_a_loop_that_leaves_each_out():
    rng = np.random.default_rng(3)
    weights, values = rng.uniform(1, 5, 9), rng.normal(size=9)
    layout = layout_of(9, weights=weights)
    means = [np.average(np.delete(values, g), weights=np.delete(weights, g)) for g in range(9)]
    expected = 8 / 9 * sum((mean - np.average(values, weights=weights)) ** 2 for mean in means)
    assert float(cluster_variance(layout.weights * values, layout)[0]) == pytest.approx(expected)


def test_strata_add_up_and_share_satterthwaites_degrees_of_freedom():
    rng = np.random.default_rng(4)
    left, right = rng.normal(0, 3, 6), rng.normal(0, 1, 40)
    layout = layout_of(6, 40)
    total, freedom = cluster_variance(layout.weights * np.concatenate([left, right]), layout)
    parts = [stats.sem(left) ** 2 / 4, stats.sem(right) ** 2 / 4]
    assert float(total) == pytest.approx(sum(parts))
    assert float(freedom) == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 5 + parts[1] ** 2 / 39))


def test_copies_of_examples_in_one_cluster_change_nothing():
    """A cluster is its mean: ten copies of its examples say no more."""
    cells = np.random.default_rng(5).normal(size=(4, 15))
    once, copied = (score(cells, layout_of(15, weights=np.full(15, weight))) for weight in (1.0, 10.0))
    assert float(spread_of(once).margin()) == pytest.approx(float(spread_of(copied).margin()))


def test_paired_clusters_cancel_and_replicates_add():
    rng = np.random.default_rng(6)
    shared, moves = rng.normal(0, 5, 20), rng.normal(size=(2, 5, 1))
    one, other = (score(shared + move, layout_of(20)) for move in moves)
    spread = difference(one, other)
    assert float(spread.clusters) == pytest.approx(0, abs=1e-12)
    expected = sum(np.var(move, ddof=1) / 5 for move in moves)
    assert float(spread.variance) == pytest.approx(expected)


def test_missing_replicates_of_a_stratum_leave_the_value_and_widen_the_interval():
    rng = np.random.default_rng(7)
    cells = rng.normal(size=(5, 30)) + rng.normal(size=(5, 1))
    holed = cells.copy()
    holed[3:, :10] = np.nan
    layout = layout_of(10, 20)
    found = score(holed, layout)
    assert float(found.value) == pytest.approx((holed[:3, :10].mean() + cells[:, 10:].mean()) / 2)
    assert found.replicates == 3
    assert float(spread_of(found).margin()) > float(spread_of(score(cells, layout)).margin())


def test_a_lone_cluster_has_a_value_but_no_interval():
    found = score(np.array([[0.4], [0.6]]), layout_of(1))
    assert float(found.value) == 0.5
    assert np.isnan(spread_of(found).margin())


@given(arrays.arrays(np.float64, (4, 7), elements=st.floats(0, 1)))
def test_no_source_is_negative_and_none_is_larger_than_the_whole(cells):
    found = score(cells, layout_of(7))
    spread = spread_of(found)
    quantile = stats.t.ppf(0.975, 3)
    assert spread.clusters >= 0
    assert found.excess >= 0
    assert spread.margin() >= quantile * np.sqrt(found.variance) - 1e-12
    assert spread.margin() >= stats.t.ppf(0.975, 5) * np.sqrt(spread.clusters) - 1e-12


@given(st.floats(-2, 2))
def test_p_is_below_five_percent_just_where_the_interval_leaves_zero_out(effect):
    cells = np.random.default_rng(8).normal(size=(5, 9))
    spread = spread_of(score(cells, layout_of(9)))
    if abs(abs(effect) - spread.margin()) > 1e-6:
        assert (spread.p_value(np.array(effect)) < ALPHA) == (abs(effect) > spread.margin())


def test_no_difference_at_all_is_no_evidence():
    found = score(np.full((3, 5), 0.5), layout_of(5))
    spread = difference(found, found)
    assert (float(spread.margin()), float(spread.p_value(np.array(0.0)))) == (0.0, 1.0)
    assert float(spread.p_value(np.array(0.1))) == 0.0


def test_sign_flips_equal_a_loop_over_all_of_them():
    parts = np.random.default_rng(9).normal(0.4, 1, 8)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1).T
    expected = np.mean(np.abs(signs @ parts) >= abs(parts.sum()) - 1e-12)
    assert sign_flip_p(parts) == (pytest.approx(expected), 2 / 2**8)
    assert sign_flip_p(np.ones(6)) == (2 / 2**6, 2 / 2**6)
    assert sign_flip_p(np.zeros(6))[0] == 1.0


@pytest.mark.parametrize("size", [0, 1, 2, 5, 30])
def test_holm_equals_statsmodels(size):
    p_values = np.random.default_rng(size).uniform(0, 0.2, size).round(2).tolist()  # with ties
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist() if size else [])


@pytest.mark.parametrize(
    ("replicates", "clusters", "highest"),
    [(5, 6, 0.985), (5, 10, 0.98), (5, 30, 0.975), (3, 100, 0.975), (1, 30, 0.97)],
)
@pytest.mark.parametrize("effect", [0.0, 0.3, 1.5])
def test_coverage_with_effects_of_replicates_and_skewed_clusters(replicates, clusters, highest, effect):
    """Few clusters and few replicates err on the safe side; a simulation's standard error is 0.4 points at most."""
    effect = effect if replicates > 1 else 0.0
    found = simulated(np.random.default_rng(10), SIMULATIONS, replicates, clusters, effect, gamma)
    assert 0.93 <= coverage(found) <= highest


def test_the_page_has_the_table_of_the_simulations():
    """A few of 6,000 may fall elsewhere where a processor rounds differently."""
    table, page = list(rows()), PAGE.read_text(encoding="utf-8")
    start = page.index(HEAD)
    written = page[start : page.index("\n\n", start)].splitlines()
    assert [NUMBER.sub("", row) for row in written] == [NUMBER.sub("", row) for row in table]
    assert numbers_in(written) == pytest.approx(numbers_in(table), abs=0.2)


def numbers_in(lines: list[str]) -> list[float]:
    return [float(number) for line in lines for number in NUMBER.findall(line)]


@pytest.mark.parametrize("effect", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("shapes", [((5, 6), (5, 6)), ((5, 30), (1, 30)), ((3, 100), (5, 100))])
def test_equal_methods_differ_in_at_most_six_percent(shapes, effect):
    rng = np.random.default_rng(11)
    (_, clusters), shared = shapes[0], gamma(rng, SIMULATIONS, 1, shapes[0][1])
    found = []
    for replicates, _ in shapes:
        own = 0.5 * gamma(rng, SIMULATIONS, 1, clusters) + 0.5 * rng.normal(size=(SIMULATIONS, replicates, clusters))
        moved = effect * rng.normal(size=(SIMULATIONS, replicates, 1)) if replicates > 1 else 0.0
        found.append(score(shared + own + moved, layout_of(clusters)))
    p = difference(*found).p_value(found[0].value - found[1].value)
    assert np.mean(p < ALPHA) <= 0.06
