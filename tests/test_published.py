"""Published numbers beside ours: only where everything is the same, with the difference that the tables give."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import synthetic_results as synthetic
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.published import read_published
from synthetic_results import World

SUPERGLUE = ("boolq", "cb", "copa", "multirc", "rte", "wic", "wsc")
LAMA = tuple(f"P{number}" for number in range(38))
WORLD = World(
    backbones=("our_bert", "our_gpt2"),
    methods=("majority", "manual", "fine_tuning", "p_tuning"),
    tasks={"lama": LAMA, "superglue": SUPERGLUE},
    facts=12,
    templates=2,
)
REPOS = {"our_bert": "google-bert/bert-base-cased", "our_gpt2": "openai-community/gpt2"}


def pages(root: Path, world: World, repos: Mapping[str, str], **manifest: object) -> dict[str, str]:
    """The suites' pages of a world whose manifests say what is given."""
    synthetic.make(root, world)
    for suite in world.tasks:
        path = root / "data/prepared" / suite / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | manifest))
    context = replace(synthetic.context_of(world), repos=repos)
    aggregate(root / "results", root / "data/prepared", root / "reports", context)
    return {suite: (root / "reports" / f"{suite}.md").read_text() for suite in world.tasks}


def rows_of(page: str) -> list[list[str]]:
    """The cells of the table of published numbers."""
    _, _, section = page.partition("## Published numbers")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], pd.DataFrame]:
    """The pages of a run on public data, and its scores."""
    root = tmp_path_factory.mktemp("real")
    manifest = {"source": "official", "settings": {"vocabulary": "29k", "train_limit": None, "test_limit": None}}
    made = pages(root, WORLD, REPOS, **manifest)
    return made, pd.read_csv(root / "reports" / "scores.csv")


def test_a_tasks_number_stands_beside_ours_with_the_difference(real: tuple[dict[str, str], pd.DataFrame]) -> None:
    made, scores = real
    (row,) = [r for r in rows_of(made["superglue"]) if r[:4] == ["boolq", "`fine_tuning`", "our_bert", "accuracy"]]
    mine = scores[
        (scores["task"] == "boolq")
        & (scores["backbone"] == "our_bert")
        & (scores["method"] == "fine_tuning")
        & (scores["metric"] == "accuracy")
        & (scores["split"] == "test")
    ]["value"]
    assert row[4].startswith(f"{100 * mine.mean():.1f} ± ")
    assert row[5].startswith("72.9")
    assert float(row[6]) == pytest.approx(100 * mine.mean() - 72.9, abs=0.051)
    half = float(row[4].partition("± ")[2])
    assert row[7] == ("yes" if abs(float(row[6])) <= half else "no")


def test_the_means_of_whole_suites_are_compared(real: tuple[dict[str, str], pd.DataFrame]) -> None:
    made, scores = real
    lama = {(r[1], r[2]): r for r in rows_of(made["lama"])}
    p_at_1 = scores[(scores["suite"] == "lama") & (scores["metric"] == "p_at_1") & (scores["split"] == "test")]
    means = p_at_1.groupby(["backbone", "method", "task"])["value"].mean().groupby(["backbone", "method"]).mean()
    row = lama["`p_tuning`", "our_bert"]
    assert (row[0], row[5]) == ("all", "52.3")
    assert float(row[6]) == pytest.approx(100 * means["our_bert", "p_tuning"] - 52.3, abs=0.051)
    assert ("all", "`fine_tuning`", "our_gpt2") in {tuple(r[:3]) for r in rows_of(made["superglue"])}


def test_only_what_was_checked_is_without_a_mark(real: tuple[dict[str, str], pd.DataFrame]) -> None:
    made, _ = real
    published = read_published()
    checked = published[(published["verified"] == "yes") & (published["suite"] != "")]
    for suite, page in made.items():
        for row in rows_of(page):
            place = (checked["suite"] == suite) & (checked["task"] == row[0])
            same = checked[place & (checked["method_name"] == row[1].strip("`"))]["score"].astype(float)
            known = any(abs(100 * score - float(row[5].split()[0])) < 0.051 for score in same)
            assert ("‡" in row[5]) != known, row


def test_frozen_and_tuned_weights_are_never_compared(real: tuple[dict[str, str], pd.DataFrame]) -> None:
    made, _ = real
    published = read_published()
    tuned = published[(published["suite"] == "superglue") & (published["method_name"] == "p_tuning_tuned")]
    assert len(tuned) > 20
    assert not [row for row in rows_of(made["superglue"]) if "p_tuning" in row[1] and "2103.10385" in row[8]]


@pytest.mark.parametrize(
    "manifest",
    [
        {"source": "embedded"},
        {"source": "official", "settings": {"vocabulary": "29k", "test_limit": 100}},
        {"source": "hub", "settings": {"train_limit": 32}},
    ],
    ids=["generated", "test sampled", "train sampled"],
)
def test_generated_or_sampled_data_is_never_compared(tmp_path: Path, manifest: dict[str, object]) -> None:
    assert not [page for page in pages(tmp_path, WORLD, REPOS, **manifest).values() if "Published numbers" in page]


def test_neither_is_another_model_vocabulary_or_a_part_of_a_suite(tmp_path: Path) -> None:
    names = {"our_bert": "", "our_gpt2": ""}
    unknown = pages(tmp_path / "model", WORLD, names, source="official")
    assert "Published numbers" not in unknown["superglue"]
    full = pages(tmp_path / "words", WORLD, REPOS, source="official", settings={"vocabulary": "full"})
    assert "Published numbers" not in full["lama"]
    part = replace(WORLD, tasks={"lama": LAMA[:5], "superglue": ("rte", "cb")})
    cut = pages(tmp_path / "part", part, REPOS, source="official", settings={"vocabulary": "29k"})
    assert "Published numbers" not in cut["lama"]
    assert {row[0] for row in rows_of(cut["superglue"])} == {"rte", "cb"}


def test_every_number_of_the_table_is_as_its_source_gives_it() -> None:
    published = read_published()
    assert len(published) > 400
    placed = published[published["suite"] != ""]
    for row in placed.itertuples():
        parts = [part.partition("+-")[0].strip() for part in str(row.value).split("/")]
        assert f"{100 * float(str(row.score)):g}" in {f"{float(part.split()[0]):g}" for part in parts}, row
    assert set(placed["state"]) <= {"frozen", "tuned", "frozen + head"}
    assert set(placed["suite"]) == {"lama", "superglue", "fewglue", "glue"}
    assert (placed["metric_name"] != "").all()
    assert not published["source"].str.contains(r"\.txt|note id", regex=True).any()
    assert (published["source"] != "").all()
