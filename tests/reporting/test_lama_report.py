"""LAMA's page: what counts relation by relation, means by type, and zero-shot probes beside the means."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.paths import Paths
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.analysis.collect import Collected, Manifest
from softprompt.reporting.analysis.contributions import SCORE, Place, Sample
from softprompt.reporting.analysis.intervals import interval_table, scores_of
from softprompt.reporting.analysis.summary import suite_means
from softprompt.reporting.rendering.markdown import percent

TYPES = {"P1": "1-1", "P2": "N-1", "P3": "N-M", "P4": "1-1"}
WORLD = World(probes=("P4",), dropped=(("P2", "tiny_bert", 7),))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("probes")
    synthetic.make(root, WORLD)
    manifest = root / "data/test/lama/manifest.json"
    content = json.loads(manifest.read_text())
    content["tasks"]["P1"]["also_in_test"]["train"] = 12
    content["tasks"]["P2"]["also_in_test"]["train"] = 3
    manifest.write_text(json.dumps(content))
    aggregate(Paths(root), synthetic.context_of(WORLD))
    return root


def test_a_probe_has_the_scores_of_manual_only(root: Path) -> None:
    scores = pd.read_csv(root / "reports/scores.csv").query("suite == 'lama'")
    assert set(scores["task"]) == set(TYPES)
    assert set(scores.query("task == 'P4'")["method"]) == {"manual"}


def table_after(page: str, words: str) -> dict[str, list[str]]:
    """The first table after these words: first cell of a row -> the others."""
    lines = page.split(words, 1)[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        first, *others = [cell.strip() for cell in line.strip("|").split(" | ")]
        rows[first] = others
    return rows


def section(root: Path, backbone: str) -> str:
    page = (root / "reports/lama.md").read_text()
    return page.split(f"## {backbone}, relation by relation")[1].split("\n## ")[0]


def test_means_leave_probes_out_for_every_method(root: Path) -> None:
    scores = pd.read_csv(root / "reports/scores.csv").query(
        "suite == 'lama' and split == 'test' and metric == 'p_at_1' and backbone == 'tiny_bert'"
    )
    intervals = pd.read_csv(root / "reports/intervals.csv").query("suite == 'lama' and task == 'all'")
    means = intervals.query("backbone == 'tiny_bert' and split == 'test' and metric == 'score'").set_index("method")
    for method in WORLD.methods:
        own = scores[(scores["method"] == method) & (scores["task"] != "P4")]
        expected = own.groupby("task")["value"].mean().mean()
        assert means["score"][method] == pytest.approx(expected, abs=1e-4)
    assert set(intervals["tasks"]) == set(intervals["planned"]) == set(intervals["clusters"]) == {3}
    readme = (root / "reports/README.md").read_text()
    assert "over 3 relations (not over 1 zero-shot probe without train or dev facts: P4)" in readme
    assert "of 3 tasks)" not in readme


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(1, 900), st.sampled_from(["test", "probe"])), min_size=1, max_size=8
    )
)
def test_macro_and_micro_equal_brute_force(relations: list[tuple[float, int, str]]) -> None:
    relations = [(0.5, 10, "test"), (0.5, 10, "test"), *relations]
    entries = {
        f"P{number}": {"splits": {"test": {}} if kind == "probe" else {"train": {}, "dev": {}, "test": {}}}
        for number, (_, _, kind) in enumerate(relations)
    }
    manifest = Manifest("lama", {"tasks": entries}, "", {}, {})
    none = pd.DataFrame()
    samples = {
        Place("lama", f"P{number}", "b", "m", "frozen", "test"): Sample(
            (0,), tuple(f"{fact}" for fact in range(facts)), {SCORE: np.full((1, facts), score)}
        )
        for number, (score, facts, _) in enumerate(relations)
    }
    collected = Collected([], [], none, none, none, {"lama": manifest})
    mean = suite_means(interval_table(scores_of(samples, collected), samples, collected)).iloc[0]
    counted = [(score, facts) for score, facts, kind in relations if kind == "test"]
    assert mean["macro"] == pytest.approx(sum(score for score, _ in counted) / len(counted))
    right = sum(score * facts for score, facts in counted)
    assert mean["micro"] == pytest.approx(right / sum(facts for _, facts in counted))
    assert (mean["tasks"], mean["planned"]) == (len(counted), len(counted))


def test_every_hole_has_its_reason(root: Path) -> None:
    page = (root / "reports/lama.md").read_text()
    assert (
        "not applicable: `p_tuning` on tiny_gpt2, lama (P4, seed 100; P4, seed 101; P4, seed 102): "
        "a zero-shot probe has no train and no dev facts"
    ) in page


def test_means_by_type_are_macro_over_relations(root: Path) -> None:
    rows = table_after(section(root, "tiny_bert"), "By type of relation")
    heads = ["1-1 (1 relation, 35 facts)", "N-1 (1 relation, 28 facts)", "N-M (1 relation, 35 facts)"]
    assert rows["method"] == heads  # P4 is a probe
    scores = pd.read_csv(root / "reports/scores.csv").query(
        "task == 'P3' and split == 'test' and metric == 'p_at_1' and backbone == 'tiny_bert' and method == 'p_tuning'"
    )
    mean = percent(scores["value"].mean())
    assert rows["`p_tuning`"][2] == mean


def test_three_metrics_a_relation_and_probes_apart(root: Path) -> None:
    shown = section(root, "tiny_gpt2")
    relations, probes = table_after(shown, "P@10 / MRR"), table_after(shown, "Zero-shot probes")
    assert relations["method"] == ["P1 (1-1)", "P2 (N-1)", "P3 (N-M)"]
    assert (probes["method"], list(probes)[2:]) == (["P4 (1-1)"], ["`manual`"])
    scores = pd.read_csv(root / "reports/scores.csv").query(
        "task == 'P2' and split == 'test' and backbone == 'tiny_gpt2' and method == 'fine_tuning'"
    )
    means = scores.groupby("metric")["value"].mean()
    expected = " / ".join(percent(means[name]) for name in ("p_at_10", "mrr"))
    assert relations["`fine_tuning`"][1] == expected
    assert probes["`manual`"][0].count(" / ") == 2


def test_facts_are_counted_by_split_and_reason(root: Path) -> None:
    rows = table_after(section(root, "tiny_bert"), "Facts that count")
    assert rows["P2"] == ["N-1", "32 of 35", "35 of 35", "28 of 35", "9", "1", "3"]
    assert rows["P4"] == ["1-1", "–", "–", "35 of 35", "0", "0", "–"]
    coverage = pd.read_csv(root / "reports/coverage.csv")
    left_out = coverage["not_one_token"] + coverage["outside_vocabulary"]
    assert (coverage["kept"] + left_out == coverage["examples"]).all()


def test_train_pairs_in_test_are_told(root: Path) -> None:
    line = "lama: 15 train examples also stand in test, in 2 tasks: 12 in P1 and 3 in P2; kept, as in published numbers"
    for page in ("README.md", "lama.md"):
        assert line in (root / "reports" / page).read_text()


def test_a_backbone_that_can_answer_no_test_fact_is_told_so(tmp_path: Path) -> None:
    world = World(dropped=(("P1", "tiny_gpt2", 35),))
    synthetic.make(tmp_path, world)
    aggregate(Paths(tmp_path), synthetic.context_of(world))
    page = (tmp_path / "reports/lama.md").read_text()
    rows = table_after(page.split("\n## tiny_gpt2\n")[1], "P@1 in % by relation")
    assert rows["method"][0] == "P1"
    assert [cells[0] for cells in rows.values()][2:] == ["n/a"] * len(world.methods)
    assert page.count("none of its test facts can be answered by tiny_gpt2") == len(world.methods)
