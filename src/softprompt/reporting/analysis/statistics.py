"""Intervals and paired comparisons: effect first, then its interval, then p.

Two kinds of uncertainty are kept apart. `mean_interval` covers the spread over seeds of one cell. `paired_difference`
covers the examples: both methods are averaged over their seeds (or templates) per example first, and whole clusters of
examples are resampled, so it speaks about new facts or passages, not about new seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import stats

from softprompt.seeding import numpy_generator

CONFIDENCE = 0.95  # of every interval
ALPHA = round(1 - CONFIDENCE, 6)  # of every test
RESAMPLES = 2000
CHUNK_VALUES = 4_000_000  # resampled cluster numbers held in memory at once


@dataclass(frozen=True)
class Interval:
    """A mean with its interval; `low` and `high` are None where one value says nothing about the spread."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """A paired effect with its interval and two-sided p; no interval where a stratum has one cluster."""

    effect: float
    low: float | None
    high: float | None
    p: float | None
    clusters: int
    examples: int


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean over seeds with its t interval; no interval for a single seed."""
    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    if sample.size < 2:
        return Interval(mean, None, None, int(sample.size))
    margin = _t_quantile(sample.size - 1) * float(sample.std(ddof=1)) / np.sqrt(sample.size)
    return Interval(mean, mean - margin, mean + margin, int(sample.size))


def paired_difference(
    differences: Float[ndarray, " N"],
    clusters: Sequence[object],
    strata: Sequence[object],
    *,
    macro: bool,
    stream: str,
    resamples: int = RESAMPLES,
) -> Difference:
    """Mean difference of shares per example with a cluster-bootstrap interval, strata (tasks) counting equally.

    Whole clusters are drawn with replacement inside each stratum. With `macro` every cluster of a stratum weighs the
    same (LAMA: relations), else every example does. Few clusters make percentile intervals too short (ten relations:
    about 90 % instead of 95 %), so the bootstrap gives the standard error only, corrected by G/(G-1) a stratum, and the
    quantile comes from Student's t with (clusters - strata) degrees of freedom. For one stratum of equally weighted
    clusters that is the t test on cluster means, the known remedy for few clusters (Ibragimov and Mueller, 2010).
    """
    values = np.asarray(differences, dtype=np.float64)
    rng = numpy_generator(stream, "bootstrap")
    parts = [
        _cluster_sums(values[rows], [clusters[row] for row in rows], macro=macro) for rows in _rows_by_stratum(strata)
    ]
    effect = float(np.mean([sums.sum() / sizes.sum() for sums, sizes in parts]))
    counts = [len(sums) for sums, _ in parts]
    if min(counts) < 2:
        return Difference(effect, None, None, None, sum(counts), values.size)
    variances = [_bootstrap_variance(sums, sizes, rng, resamples) for sums, sizes in parts]
    error = float(np.sqrt(np.sum(variances))) / len(parts)
    freedom = sum(counts) - len(parts)
    margin = _t_quantile(freedom) * error
    low, high = max(-1.0, effect - margin), min(1.0, effect + margin)
    return Difference(effect, low, high, _p_value(effect, error, freedom), sum(counts), values.size)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-corrected p values, in the order given; the family is all that is passed."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(p.size, 0, -1)  # the smallest of n times n, the next times n - 1, ...
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(value) for value in corrected]


def _t_quantile(freedom: int) -> float:
    return float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom))


def _p_value(effect: float, error: float, freedom: int) -> float:
    if error == 0.0:
        return 1.0 if effect == 0.0 else 0.0
    return float(2 * stats.t.sf(abs(effect) / error, freedom))


def _rows_by_stratum(strata: Sequence[object]) -> list[list[int]]:
    rows: dict[object, list[int]] = {}
    for row, stratum in enumerate(strata):
        rows.setdefault(stratum, []).append(row)
    return list(rows.values())


def _cluster_sums(
    values: Float[ndarray, " N"], clusters: Sequence[object], *, macro: bool
) -> tuple[Float[ndarray, " G"], Float[ndarray, " G"]]:
    """Weighted sum and weight of every cluster, in order of first appearance: their ratio of sums is the effect."""
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    codes = np.array([numbers[cluster] for cluster in clusters])
    sums = np.bincount(codes, weights=values)  # (G,)
    sizes = np.bincount(codes).astype(np.float64)  # (G,)
    return (sums / sizes, np.ones_like(sizes)) if macro else (sums, sizes)


def _bootstrap_variance(
    sums: Float[ndarray, " G"], sizes: Float[ndarray, " G"], rng: np.random.Generator, resamples: int
) -> float:
    """Variance of the ratio of sums over resamples of clusters, unbiased for few clusters."""
    clusters = len(sums)
    chunk = max(1, CHUNK_VALUES // clusters)
    effects = []
    for start in range(0, resamples, chunk):
        drawn: Int[ndarray, "R G"] = rng.integers(clusters, size=(min(chunk, resamples - start), clusters))
        effects.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))  # (R,)
    return float(np.concatenate(effects).var(ddof=1)) * clusters / (clusters - 1)
