"""The highest of n draws, by formula and by enumerating every draw."""

from itertools import product
from statistics import fmean, pvariance

import numpy as np
import pytest

from softprompt.reporting.analysis.collect import Trial
from softprompt.reporting.analysis.expected_validation import expected_highest, expected_validation
from softprompt.results import TrialRecord


@pytest.mark.parametrize("scores", [[0.3], [0.1, 0.7, 0.4, 0.9], [0.5, 0.5, 0.2, 0.2, 0.9], [0.25, 0.25]])
@pytest.mark.parametrize("draws", [1, 2, 3, 5])
def test_the_formula_is_the_mean_and_variance_over_every_possible_draw(scores: list[float], draws: int) -> None:
    highest = [max(drawn) for drawn in product(scores, repeat=draws)]
    mean, variance = expected_highest(np.array(scores), draws)
    assert mean == pytest.approx(fmean(highest), abs=1e-12)
    assert variance == pytest.approx(pvariance(highest), abs=1e-12)


def test_trials_of_all_replicates_are_drawn_from() -> None:
    scores = {0: [0.1, 0.5], 1: [0.4, 0.2]}
    trials = [
        Trial("p_tuning", "tiny_bert", TrialRecord(
            study="lama", seed=seed, number=number, settings={}, dev_score=score, paper=False
        ))
        for seed, found in scores.items()
        for number, score in enumerate(found)
    ]  # fmt: skip
    frame = expected_validation(trials)
    assert frame["trials"].tolist() == [1, 2]
    assert set(frame["scored"]) == {4}
    pairs = [max(drawn) for drawn in product([0.1, 0.5, 0.4, 0.2], repeat=2)]
    assert frame["expected"].tolist() == pytest.approx([0.3, fmean(pairs)])
    assert frame["variance"].iloc[1] == pytest.approx(pvariance(pairs))
