"""What forms the score of a task: SuperGLUE's own metrics, in every table that averages them."""

from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import f1_score

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.paths import Paths
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.analysis.collect import Collected, describe_suite
from softprompt.reporting.analysis.scoring import score_table
from softprompt.reporting.analysis.summary import cell_scores, headline_scores
from softprompt.reporting.rendering.markdown import percent
from softprompt.tasks.load import load_task

WORLD = World(
    methods=("majority", "manual", "p_tuning"), tasks={"superglue": ("boolq", "cb", "multirc"), "extra": ("ner",)}
)
FORMED = {
    "boolq": ["accuracy"],
    "cb": ["accuracy", "macro_f1"],
    "multirc": ["f1a", "em"],
    "ner": ["entity_f1"],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("scored")
    synthetic.make(root, WORLD)
    aggregate(Paths(root), synthetic.context_of(WORLD))
    return root


def test_multirc_is_the_mean_of_f1a_and_em(root: Path) -> None:
    """SuperGLUE, section 4: F1 over all answers, exact match of the answers of a question, and their mean."""
    answers = [("0", "1", "1"), ("0", "0", "1"), ("1", "1", "1"), ("1", "0", "0"), ("2", "1", "0"), ("2", "0", "0")]
    place = {"suite": "superglue", "task": "multirc", "backbone": "b", "method": "m", "state": "frozen", "seed": 0}
    rows = [
        {**place, "template": "t", "split": "test", "id": f"val-7-{question}-{n}", "gold": gold, "prediction": said}
        for n, (question, gold, said) in enumerate(answers)
    ]
    scores = score_table(pd.DataFrame(rows), {("superglue", "multirc"): load_task("superglue", "multirc", root)})
    none = pd.DataFrame()
    manifests = {"superglue": describe_suite(Paths(root), "superglue")}
    headline = headline_scores(cell_scores(scores), Collected([], [], none, none, none, manifests))
    _, gold, said = zip(*answers, strict=True)
    expected = (f1_score(gold, said, pos_label="1") + 1 / 3) / 2  # only question 1 is right in all its answers
    assert headline["score"].item() == pytest.approx(expected)
    assert set(scores["metric"]) == {"f1a", "em", "accuracy"}


@pytest.mark.parametrize("task", FORMED)
def test_a_score_is_the_mean_of_the_metrics_that_form_it(root: Path, task: str) -> None:
    suite = "extra" if task == "ner" else "superglue"
    definition = load_task(suite, task, root / "data/prepared")
    assert list(definition.score_metrics) == FORMED[task]
    assert definition.metrics[0] == definition.score_metrics[0]  # what training selects by
    templates = pd.read_csv(root / "reports/templates.csv").query("task == @task and split == 'test'")
    expected = templates[templates["metric"].isin(FORMED[task])].groupby(["template", "backbone"])["value"].mean()
    page = (root / f"reports/{suite}.md").read_text()
    assert len(expected) == WORLD.templates * len(WORLD.backbones)
    for template, scores in expected.groupby("template"):
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {task} | {template} |")]
        shown = [cell.removesuffix(" (dev)") for cell in row.strip("| ").split(" | ")[-2:]]
        assert shown == [percent(score) for score in scores]


def test_means_average_the_same_scores_and_scores_csv_keeps_the_other_metrics(root: Path) -> None:
    means = pd.read_csv(root / "reports/intervals.csv").query(
        "task == 'all' and method == 'p_tuning' and split == 'test' and metric == 'score'"
    )
    means = means.set_index(["suite", "backbone"])["score"]
    scores = pd.read_csv(root / "reports/scores.csv").query("split == 'test' and method == 'p_tuning'")
    for suite, tasks in WORLD.tasks.items():
        for backbone in WORLD.backbones:
            here = scores[(scores["suite"] == suite) & (scores["backbone"] == backbone)]
            values = here.groupby(["task", "metric"])["value"].mean()
            by_task = [values[task][FORMED[task]].mean() for task in tasks]
            assert means[suite, backbone] == pytest.approx(sum(by_task) / len(tasks), abs=1e-4)
    extra = scores[(scores["suite"] == "extra") & (scores["backbone"] == "tiny_bert")]
    values = extra.groupby("metric")["value"].mean()
    score = means["extra", "tiny_bert"]
    assert values["token_accuracy"] > values["entity_f1"] == pytest.approx(score, abs=1e-4)


def test_the_page_says_what_forms_a_score_and_keeps_a_row_for_every_metric(root: Path) -> None:
    page = (root / "reports/superglue.md").read_text()
    assert "(cb: accuracy and macro_f1; multirc: f1a and em)" in page
    for metric in ("f1a", "em", "accuracy"):
        assert f"| multirc {metric} |" in page
