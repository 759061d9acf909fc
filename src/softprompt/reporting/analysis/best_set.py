"""The methods that may be the best of a column, at 95 %: those that no other one beats beyond doubt.

A method drops out where another one's lead is above what a family of equally good methods would show in one of twenty
columns. As in `two_way`, each source brings its own quantile, here that of all pairs at once. Replicates, which methods
do not share: Tukey's studentized range (Games and Howell 1976), or Student's t at Bonferroni's level over methods where
that is larger, with few replicates. Clusters of examples, which methods share, so that with few clusters all pairs err
together: Student's t at Bonferroni's level over pairs. Simulated with 13 to 17 equal methods, the studentized range
alone would drop one of them in up to 26 % of columns of six clusters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from softprompt.errors import UserError
from softprompt.reporting.analysis.two_way import ALPHA, Scored, cluster_variance


@dataclass(frozen=True)
class Verdict:
    """A method against the one that comes nearest to beating it, or does."""

    against: str
    lead: float  # of the other one, above 0
    needed: float  # the lead at which the method drops out; NaN where nothing can be said

    @property
    def drops_out(self) -> bool:
        return self.lead > self.needed


def verdicts(column: Mapping[str, Scored]) -> dict[str, Verdict]:
    """Every method but the highest. Methods of a column answer the same examples."""
    names, scores = list(column), list(column.values())
    if any(one.layout.names != scores[0].layout.names for one in scores):
        raise UserError(f"{', '.join(names)} answered different examples; run `dvc repro` again")
    values = np.array([float(one.value) for one in scores])
    leads = values[None] - values[:, None]  # [k, j]: of j over k
    needed = needed_leads(scores)
    found = {}
    for number, name in enumerate(names):
        better = np.flatnonzero(leads[number] > 0)
        if better.size:
            with np.errstate(divide="ignore"):
                clearness = np.nan_to_num(leads[number, better] / needed[number, better], nan=0.0)
            other = int(better[np.argmax(clearness)])
            found[name] = Verdict(names[other], float(leads[number, other]), float(needed[number, other]))
    return found


def needed_leads(scores: list[Scored]) -> Float[ndarray, "*batch K K"]:
    """The lead of one method over another that sets it apart, for every pair of K, with 5 % for all pairs."""
    count = len(scores)
    first, second = np.triu_indices(count, 1)
    parts = np.stack([one.parts for one in scores], axis=-2)  # (*batch, K, G)
    clusters, freedom = cluster_variance(parts[..., first, :] - parts[..., second, :], scores[0].layout)
    quantile = stats.t.ppf(1 - ALPHA / 2 / max(len(first), 1), np.maximum(freedom, 1))
    ranges = [range_quantile(count, one.replicates - 1) if one.replicates > 1 else 0.0 for one in scores]
    excess = np.stack([one.excess * own**2 for one, own in zip(scores, ranges, strict=True)], axis=-1)
    margins = np.sqrt(clusters * quantile**2 + excess[..., first] + excess[..., second])
    needed = np.zeros((*margins.shape[:-1], count, count))
    needed[..., first, second] = needed[..., second, first] = margins
    return needed


@cache
def range_quantile(methods: int, freedom: int) -> float:
    """How many standard errors the largest of all differences may be: Tukey's quantile, for equally exact methods, or
    Bonferroni's, for a method among exact ones, whichever is larger."""
    tukey = stats.studentized_range.ppf(1 - ALPHA, methods, freedom) / np.sqrt(2)
    return float(max(tukey, stats.t.ppf(1 - ALPHA / 2 / methods, freedom)))
