"""Published numbers beside ours: only where everything is the same, with the difference that the tables give."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.config import SuiteSettings, WorldSettings
from softprompt.data.prepare import prepare_suite
from softprompt.paths import Paths
from softprompt.records import write_record
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.analysis.collect import Manifest, describe_suite
from softprompt.reporting.rendering.published import is_comparable, read_published, standard_wordings
from softprompt.result_files import seal_folder
from softprompt.results import TrainResult
from softprompt.tasks.load import load_task

SUPERGLUE = ("boolq", "cb", "copa", "multirc", "rte", "wic", "wsc")
LAMA = tuple(f"P{number}" for number in range(41))
WORLD = World(
    backbones=("our_bert", "our_gpt2"),
    methods=("majority", "manual", "fine_tuning", "p_tuning"),
    tasks={"lama": LAMA, "superglue": SUPERGLUE},
    facts=12,
    templates=2,
)
SMALL = replace(WORLD, backbones=("our_bert",), methods=("manual", "fine_tuning"), seeds=(100, 101), facts=6, trials=2)
Real = tuple[dict[str, str], pd.DataFrame, pd.DataFrame]
REPOS = {"our_bert": "google-bert/bert-base-cased", "our_gpt2": "openai-community/gpt2"}

pytestmark = pytest.mark.xdist_group("published")  # one worker makes what the module shares


def pages(
    root: Path, world: World, repos: Mapping[str, str], *, boolq_train: int = 9427, **manifest: object
) -> dict[str, str]:
    """The suites' pages of a world whose manifests say what is given, and whose second templates are the standard."""
    synthetic.make(root, world)
    for suite, tasks in world.tasks.items():
        for side in ("prepared", "test"):
            path = root / "data" / side / suite / "manifest.json"
            content = json.loads(path.read_text()) | manifest
            if "boolq" in tasks and side == "prepared":
                splits = content["tasks"]["boolq"]["splits"]
                splits["train"]["rows"] = boolq_train - splits["dev"]["rows"]
            path.write_text(json.dumps(content))
    rename_templates(root, world)
    context = replace(synthetic.context_of(world), repos=repos)
    aggregate(Paths(root), context)
    return {suite: (root / "reports" / f"{suite}.md").read_text() for suite in world.tasks}


def rename_templates(root: Path, world: World) -> None:
    """Of the two synthetic templates of a task, the second gets the name of the standard one."""
    names = {f"{task}-t1": "lama" for task in world.tasks.get("lama", ())}
    for task in world.tasks.get("superglue", ()):
        standard, other, *_ = load_task("superglue", task, root).manual
        names |= {f"{task}-t1": standard.id, f"{task}-t0": other.id}
    for path in root.glob("results/evaluate/*/predictions.parquet"):
        frame = pd.read_parquet(path)
        frame.assign(template=frame["template"].replace(names)).to_parquet(path, index=False)
        seal_folder(path.parent)
    for path in root.glob("results/train/*/manual*/result.json"):
        text = path.read_text()
        for name, other in names.items():
            text = text.replace(f'"{name}"', f'"{other}"')
        write_record(path, TrainResult.model_validate_json(text))
    for path in root.glob("data/prepared/lama/*/templates.json"):
        path.write_text(path.read_text().replace(f"{path.parent.name}-t1", "lama"))


def rows_of(page: str) -> list[list[str]]:
    """The cells of the table of published numbers."""
    _, _, section = page.partition("## Published numbers")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    """The pages of a run on public data, its scores, and those of its templates."""
    root = tmp_path_factory.mktemp("real")
    manifest = {"source": "official", "settings": {"vocabulary": "29k", "train_limit": None, "test_limit": None}}
    made = pages(root, WORLD, REPOS, **manifest)
    return made, pd.read_csv(root / "reports" / "scores.csv"), pd.read_csv(root / "reports" / "templates.csv")


def test_a_tasks_number_stands_beside_ours_with_the_difference(real: Real) -> None:
    made, scores, _ = real
    (row,) = [r for r in rows_of(made["superglue"]) if r[:4] == ["boolq", "`fine_tuning`", "our_bert", "accuracy"]]
    mine = scores[
        (scores["task"] == "boolq")
        & (scores["backbone"] == "our_bert")
        & (scores["method"] == "fine_tuning")
        & (scores["metric"] == "accuracy")
        & (scores["split"] == "test")
    ]["value"]
    assert row[4].startswith(f"{100 * mine.mean():.1f} ±")
    assert row[5].startswith("72.9")
    assert float(row[6]) == pytest.approx(100 * mine.mean() - 72.9, abs=0.051)
    half = float(row[4].partition("±")[2])
    assert row[7] == ("yes" if abs(float(row[6])) <= half else "no")


def test_the_means_of_whole_suites_are_compared(real: Real) -> None:
    made, scores, _ = real
    lama = {(r[1], r[2]): r for r in rows_of(made["lama"])}
    p_at_1 = scores[(scores["suite"] == "lama") & (scores["metric"] == "p_at_1") & (scores["split"] == "test")]
    means = p_at_1.groupby(["backbone", "method", "task"])["value"].mean().groupby(["backbone", "method"]).mean()
    row = lama["`p_tuning`", "our_bert"]
    assert (row[0], row[5]) == ("all", "52.3")
    assert float(row[6]) == pytest.approx(100 * means["our_bert", "p_tuning"] - 52.3, abs=0.051)
    assert ("all", "`fine_tuning`", "our_gpt2") in {tuple(r[:3]) for r in rows_of(made["superglue"])}


def test_only_what_was_checked_is_without_a_mark(real: Real) -> None:
    made, _, _ = real
    published = read_published()
    checked = published[(published["verified"] == "yes") & (published["suite"] != "")]
    for suite, page in made.items():
        for row in rows_of(page):
            place = (checked["suite"] == suite) & (checked["task"] == row[0])
            same = checked[place & (checked["method_name"] == row[1].strip("`"))]["score"].astype(float)
            known = any(abs(100 * score - float(row[5].split()[0])) < 0.051 for score in same)
            assert ("‡" in row[5]) != known, row


def test_frozen_and_tuned_weights_are_never_compared(real: Real) -> None:
    made, _, _ = real
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
        {"source": "local", "settings": {"vocabulary": "29k", "text": {"withheld": 0.1}}},
    ],
    ids=["generated", "test sampled", "train sampled", "stated in a text"],
)
def test_generated_or_sampled_data_is_never_compared(tmp_path: Path, manifest: dict[str, object]) -> None:
    assert not [page for page in pages(tmp_path, SMALL, REPOS, **manifest).values() if "Published numbers" in page]


def test_a_small_run_on_public_data_is_compared(tmp_path: Path) -> None:
    made = pages(tmp_path, SMALL, REPOS, source="official", settings={"vocabulary": "29k"})
    assert all("Published numbers" in page for page in made.values())


def test_neither_is_superglue_with_a_part_of_boolqs_train_file(tmp_path: Path) -> None:
    made = pages(tmp_path, SMALL, REPOS, boolq_train=2000, source="local", settings={"vocabulary": "29k"})
    assert "Published numbers" not in made["superglue"]
    assert "Published numbers" in made["lama"]


def test_neither_is_the_real_subset_of_boolq(real_data: Path, tmp_path: Path) -> None:
    for task, comparable in (("boolq", False), ("cb", True)):
        settings = SuiteSettings(source="local", path=str(real_data), tasks=(task,))
        prepare_suite("superglue", settings, WorldSettings(), Paths(tmp_path / task))
        assert is_comparable(describe_suite(Paths(tmp_path / task), "superglue")) == comparable


def test_manual_is_compared_by_the_standard_wording_of_each_task(real: Real) -> None:
    made, _, templates = real
    here = templates[(templates["backbone"] == "our_bert") & (templates["split"] == "test")]
    (row,) = [r for r in rows_of(made["superglue"]) if r[:4] == ["rte", "`manual`", "our_bert", "accuracy"]]
    pet = here[(here["task"] == "rte") & (here["template"] == load_task("superglue", "rte", Path()).manual[0].id)]
    assert row[4] == f"{100 * pet['value'].item():.1f}"
    lama = here[(here["template"] == "lama") & (here["metric"] == "p_at_1")]
    assert len(lama) == len(LAMA)
    (row,) = [r for r in rows_of(made["lama"]) if r[:3] == ["all", "`manual`", "our_bert"] and "29k" in r[8]]
    assert row[4] == f"{100 * lama['value'].mean():.1f}"
    assert row[7] == "–"
    (row,) = [r for r in rows_of(made["superglue"]) if r[:3] == ["all", "`manual`", "our_bert"]]
    formed = {"cb": ["accuracy", "macro_f1"], "multirc": ["f1a", "em"]}
    means = []
    for task in SUPERGLUE:
        own = here[(here["task"] == task) & (here["template"] == load_task("superglue", task, Path()).manual[0].id)]
        means.append(own[own["metric"].isin(formed.get(task, ["accuracy"]))]["value"].mean())
    assert row[4] == f"{100 * sum(means) / len(means):.1f}"


def test_the_standard_wording_is_the_first_that_a_backbone_is_asked_and_in_lama_lamas_own() -> None:
    task = load_task("superglue", "cb", Path())
    ids = [template.id for template in task.manual]
    manifest = Manifest("superglue", {}, "", {"cb": task}, {})
    for asked, expected in ((ids, {("cb", ids[0])}), (ids[:0:-1], {("cb", ids[1])}), ([], set())):
        scores = pd.DataFrame({"task": ["cb"] * len(asked), "template": asked})
        assert standard_wordings(manifest, scores) == expected
    relation = task.model_copy(update={"suite": "lama", "manual": (task.manual[0],)})
    only_others = Manifest("lama", {}, "", {"P1": relation}, {})
    assert not standard_wordings(only_others, pd.DataFrame({"task": ["P1"], "template": [ids[0]]}))


def test_neither_is_another_model_vocabulary_or_a_part_of_a_suite(tmp_path: Path) -> None:
    unknown = pages(tmp_path / "model", SMALL, {"our_bert": ""}, source="official", settings={"vocabulary": "29k"})
    assert not [page for page in unknown.values() if "Published numbers" in page]
    full = pages(tmp_path / "words", SMALL, REPOS, source="official", settings={"vocabulary": "full"})
    assert "Published numbers" not in full["lama"]
    part = replace(SMALL, tasks={"lama": LAMA[:5], "superglue": ("rte", "cb")})
    cut = pages(tmp_path / "part", part, REPOS, source="official", settings={"vocabulary": "29k"})
    assert "Published numbers" not in cut["lama"]
    assert {row[0] for row in rows_of(cut["superglue"])} == {"rte", "cb"}


def test_p_tuning_v2s_column_pt_is_no_method_of_ours() -> None:
    """Vectors in front and a head on [CLS]: neither p_tuning's slots nor prompt_tuning's words."""
    published = read_published()
    of_v2 = published[published["paper"].str.startswith("P-tuning v2 (2110.07602)")]
    assert set(of_v2[of_v2["suite"] != ""]["method_name"]) == {"fine_tuning", "p_tuning_v2"}
    assert len(of_v2[of_v2["method"].str.match(r"PT($| \()")]) >= 18
    own = published[(published["method_name"] == "p_tuning") & (published["state"] == "frozen")]
    assert set(own["suite"]) == {"lama"}


def test_every_number_of_the_table_is_as_its_source_gives_it() -> None:
    published = read_published()
    assert len(published) > 400
    placed = published[published["suite"] != ""]
    for row in placed.itertuples():
        parts = [part.partition("+-")[0].strip() for part in str(row.value).split("/")]
        assert f"{100 * float(str(row.score)):g}" in {f"{float(part.split()[0]):g}" for part in parts}, row
    assert set(placed["state"]) <= {"frozen", "tuned", "frozen + head"}
    assert set(placed[placed["method_name"] == "manual"]["state"]) == {"frozen"}
    assert set(placed["suite"]) == {"lama", "superglue", "fewglue", "glue"}
    assert (placed["metric_name"] != "").all()
    assert not published["source"].str.contains(r"\.txt|note id", regex=True).any()
    assert (published["source"] != "").all()
