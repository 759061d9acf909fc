"""Expected validation performance: the best dev score that so many trials would give (Dodge et al. 2019, "Show Your
Work", https://arxiv.org/abs/1909.03004, section 3.1).

The highest of n draws, with replacement, from the N trials of all replicates: P(highest <= v) = F(v)^n with F the
empirical distribution of their scores. Its variance stands in for that of tuning where replicates share one study.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from softprompt.reporting.analysis.collect import Trial

COLUMNS = ["study", "backbone", "method", "trials", "expected", "variance", "scored"]


def expected_validation(trials: list[Trial]) -> pd.DataFrame:
    """A row a unit, backbone, method and number of trials, from 1 to that of the longest study; `scored` are the trials
    drawn from. Trials that failed have no score and are left out."""
    scores: dict[tuple[str, str, str], list[float]] = {}
    longest: dict[tuple[str, str, str], int] = {}
    for trial in trials:
        place = (trial.record.study, trial.backbone, trial.method)
        scores.setdefault(place, []).append(trial.record.dev_score)
        longest[place] = max(longest.get(place, 0), trial.record.number + 1)
    rows = [
        (*place, number, *expected_highest(np.asarray(values), number), len(values))
        for place, values in sorted(scores.items())
        for number in range(1, longest[place] + 1)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def expected_highest(scores: Float[ndarray, " N"], draws: int) -> tuple[float, float]:
    """Mean and variance of the highest of so many draws with replacement."""
    ordered = np.sort(scores)
    at_most = (np.arange(len(ordered) + 1) / len(ordered)) ** draws  # of the i lowest, P(highest is among them)
    chance = np.diff(at_most)  # (N,), equal scores share theirs
    mean = float(chance @ ordered)
    return mean, float(chance @ (ordered - mean) ** 2)
