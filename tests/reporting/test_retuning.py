"""The experiment behind the intervals: which fresh scores lie inside, and which verdicts a wider search moves."""

from dataclasses import replace
from pathlib import Path

import pytest

from helpers import synthetic_results as synthetic
from helpers.profiles import profile_params
from helpers.synthetic_results import World
from softprompt.experiments.checks import checked
from softprompt.paths import Paths
from softprompt.reporting.analysis.collect import Collected, collect
from softprompt.reporting.analysis.report import Report, build_report
from softprompt.retuning.experiment import METHODS, WIDENED, WIDER, fresh_seeds, page, retuned, widened, with_method_of

SEEDS = (100, 101, 102)
AGAIN = ("prompt_tuning", "p_tuning")


def collected_of(folder: Path, world: World) -> Collected:
    synthetic.make(folder, world)
    return collect(Paths(folder), synthetic.context_of(world))


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return build_report(collected_of(tmp_path_factory.mktemp("printed"), World()), synthetic.context_of(World()))


def again(folder: Path, master: int) -> Report:
    world = World(methods=AGAIN, seeds=tuple(1000 * master + seed for seed in SEEDS))
    return build_report(collected_of(folder, world), synthetic.context_of(world))


def test_fresh_seeds_are_as_many_and_none_of_the_old_ones() -> None:
    params = profile_params("embedded")
    seeds = {master: fresh_seeds(params, master).seeds for master in (1, 2)}
    assert {len(own) for own in seeds.values()} == {len(params.seeds)}
    assert not set(params.seeds) & set(seeds[1]) | set(seeds[1]) & set(seeds[2])


def test_the_wider_range_is_a_valid_superset() -> None:
    params = profile_params("embedded")
    wide = checked(widened(params), "params.yaml")
    before, after = (one.methods[WIDENED]["search"]["learning_rate"] for one in (params, wide))
    assert after == before | {"high": before["high"] * WIDER}
    assert set(METHODS) <= set(params.run.trained)


def test_a_fresh_score_is_inside_where_the_printed_interval_holds_it(printed: Report, tmp_path: Path) -> None:
    fresh = again(tmp_path, 1)
    rows = {(row.suite, row.backbone, row.method): row for row in retuned(printed, [fresh])}
    assert {method for *_, method in rows} == set(AGAIN)
    scores = fresh.intervals.query("task == 'all' and split == 'test' and metric == 'score'")
    assert len(rows) == len(scores)
    for score in scores.itertuples():
        row = rows[score.suite, score.backbone, score.method]
        assert row.fresh == (score.score,)
        assert row.inside == (row.low <= score.score <= row.high)
    far = replace(row, fresh=(row.low - 1e-9, row.printed, row.high + 1e-9))
    assert far.inside == 1
    text = page(list(rows.values()), printed, printed)
    assert f"**{sum(row.inside for row in rows.values())} of {len(rows)} fresh scores" in text
    assert text.count("(outside)") == sum(row.inside == 0 for row in rows.values())


def test_a_verdict_moves_where_the_methods_results_do(printed: Report, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """p_tuning as bad as a random prompt is above nothing any more."""
    monkeypatch.setitem(synthetic.ACCURACY, WIDENED, 0.05)
    world = World(methods=(WIDENED,))
    bad = with_method_of(printed.collected, collected_of(tmp_path, world), WIDENED)
    assert len(bad.examples) == len(printed.collected.examples)
    text = page(
        [replace(row, fresh=row.fresh * 4) for row in retuned(printed, [printed])],
        printed,
        build_report(bad, printed.context),
    )
    assert "Verdicts that moved: none of" in page(retuned(printed, [printed]), printed, printed)
    assert "Verdicts that moved: none of" not in text
    assert "| lama | tiny_bert | `p_tuning` against `manual` | above | below |" in text
