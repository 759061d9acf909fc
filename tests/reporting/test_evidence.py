"""Results that were tampered with: a report is refused, and the message names file, method, task and examples."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.reporting.analysis.collect import collect
from softprompt.reporting.analysis.gaps import find_gaps
from softprompt.result_files import FailedCell, seal_folder

WORLD = World(
    backbones=("tiny_bert",),
    methods=("majority", "manual", "p_tuning"),
    tasks={"lama": ("P1", "P2"), "superglue": ("cb",)},
    seeds=(100, 101),
    facts=7,
    templates=2,
    trials=2,
)
FILE = "results/evaluate/tiny_bert/predictions.parquet"
Tamper = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    synthetic.make(tmp_path, WORLD)
    return Paths(tmp_path)


def tampered(paths: Paths, tamper: Tamper) -> None:
    path = paths.root / FILE
    tamper(pd.read_parquet(path)).to_parquet(path, index=False)
    seal_folder(path.parent)


def of(frame: pd.DataFrame, method: str = "p_tuning", task: str = "P1") -> "pd.Series[bool]":
    """The test rows of one cell."""
    seed = 100
    own = (frame["method"] == method) & (frame["task"] == task) & (frame["split"] == "test")
    return own & (frame["seed"] == seed)


def changed(task: str, **values: object) -> Tamper:
    """The first wrong answer of a cell, otherwise."""

    def tamper(frame: pd.DataFrame) -> pd.DataFrame:
        wrong = frame.index[of(frame, task=task) & (frame["gold_rank"] > 1)]
        for column, value in values.items():
            frame.loc[wrong[0], column] = value
        return frame

    return tamper


def without_hard_examples(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~(of(frame) & (frame["gold_rank"] > 1))]


def without_an_answer_everywhere(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["gold"] != "P1 test 3"]


def answered_twice(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame[of(frame)].head(1)])


def without_a_template(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~((frame["method"] == "manual") & (frame["template"] == "P1-t1") & (frame["split"] == "test"))]


def of_no_cell(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame[of(frame)].assign(seed=999)])


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (
            without_hard_examples,
            r"parquet: p_tuning on tiny_bert, lama/P1, test, seed 100, .* examples test-.* are missing",
        ),
        (without_an_answer_everywhere, r"coverage\.csv: lama/P1, test: 12 of 12 examples kept, but 11 of 12"),
        (answered_twice, r"p_tuning .* lama/P1, test, seed 100, .*: the examples test-0-0 are answered twice"),
        (changed("P1", id="test-99"), r"p_tuning .* lama/P1, .*: the examples test-99 are not in the test split"),
        (changed("P1", gold="Rome"), r"p_tuning .* lama/P1, .* have another gold than in the test split"),
        (changed("cb", gold="neutral", prediction="neutral", gold_rank=1), r"superglue/cb, .* another gold"),
        (changed("P1", group="99"), r"p_tuning .* lama/P1, .* have another group than in the test split"),
        (changed("cb", gold_rank=1), r"p_tuning .* superglue/cb, .* have a rank that contradicts their prediction"),
        (without_a_template, r"manual on tiny_bert, lama/P1, test, seed 100, template 'P1-t1': no prediction at all"),
        (of_no_cell, r"p_tuning .* lama/P1, .* seed 999, .*: no finished cell has them"),
    ],
)
def test_predictions_that_are_not_what_was_asked_are_refused(tamper: Tamper, message: str, paths: Paths) -> None:
    collect(paths, synthetic.context_of(WORLD))
    tampered(paths, tamper)
    with pytest.raises(UserError, match=message) as refused:
        collect(paths, synthetic.context_of(WORLD))
    assert "run `dvc repro evaluate@tiny_bert`" in str(refused.value)


def test_where_no_two_words_read_alike_a_rank_has_to_agree_with_the_word(paths: Paths) -> None:
    manifest = paths.suite("lama") / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"files": {"vocabulary.json": "ab"}}))
    collect(paths, synthetic.context_of(WORLD))

    def hit(frame: pd.DataFrame) -> pd.DataFrame:
        hits = frame[of(frame) & (frame["gold_rank"] == 1)]
        frame.loc[hits.index[0], "gold_rank"] = 2
        return frame.assign(prediction=frame["prediction"].where(frame.index != hits.index[0], "Rome"))

    tampered(paths, hit)  # a miss as it could be
    collect(paths, synthetic.context_of(WORLD))
    tampered(paths, lambda frame: frame.assign(gold_rank=frame["gold_rank"].where(~of(frame), 1)))
    with pytest.raises(UserError, match=r"lama/P1, .* have a rank that contradicts their prediction"):
        collect(paths, synthetic.context_of(WORLD))


def test_scores_come_from_predictions_whatever_else_lies_there(paths: Paths) -> None:
    (paths.evaluate("tiny_bert") / "scores.csv").write_text("value\n1.0\n")
    scores = collect(paths, synthetic.context_of(WORLD)).scores
    frame = pd.read_parquet(paths.root / FILE)
    (row,) = scores.query("method == 'p_tuning' and task == 'cb' and seed == 100 and metric == 'accuracy'").itertuples()
    own = frame[of(frame, task="cb")]
    assert row.value == (own["gold"] == own["prediction"]).mean()
    assert row.n_examples == len(own) == WORLD.facts + synthetic.SPARE


def test_a_cell_without_any_prediction_is_a_gap_and_no_error(paths: Paths) -> None:
    tampered(paths, lambda frame: frame[~((frame["method"] == "p_tuning") & (frame["task"] == "cb"))])
    collected = collect(paths, synthetic.context_of(WORLD))
    assert collected.scores.query("method == 'p_tuning' and task == 'cb'").empty


def test_a_cell_that_could_not_answer_is_failed_with_the_reason(paths: Paths) -> None:
    place = ["lama", "P1", "tiny_bert", "p_tuning", 100]
    failed = pd.DataFrame([[*place, "the logits are not finite"]], columns=list(FailedCell.model_fields))
    failed.to_csv(paths.evaluate("tiny_bert") / "failures.csv", index=False)
    seal_folder(paths.evaluate("tiny_bert"))
    context = synthetic.context_of(WORLD)
    with pytest.raises(UserError, match="no finished cell has them"):  # predictions all the same
        collect(paths, context)
    tampered(paths, lambda frame: frame[~((frame[["method", "task", "seed"]] == ["p_tuning", "P1", 100]).all(axis=1))])
    (gap,) = find_gaps(collect(paths, context), context)
    found = gap.status, gap.suite, gap.method, gap.reason, gap.cells
    assert found == ("failed", "lama", "p_tuning", "the logits are not finite", ("P1, seed 100",))


def test_a_test_table_that_is_not_the_manifests_is_refused(paths: Paths) -> None:
    table = paths.test_suite("lama") / "P1" / "test.parquet"
    pd.read_parquet(table).iloc[1:].to_parquet(table, index=False)
    with pytest.raises(UserError, match=r"P1/test\.parquet: not the table that manifest\.json describes"):
        collect(paths, synthetic.context_of(WORLD))
