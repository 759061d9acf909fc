"""`softprompt diff` between two commits of a real repository: what was planted is found, what is noise is not."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from helpers import synthetic_results as synthetic
from helpers.pipeline import environment
from helpers.synthetic_results import World
from softprompt.__main__ import main
from softprompt.errors import UserError
from softprompt.files import sha256_of_file
from softprompt.paths import Paths
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.analysis.intervals import ALL_TASKS
from softprompt.usage.diff import SOMETHING_MOVED, diff, prepared_manifests
from softprompt.usage.moves import FLIPPED, GONE, MOVED, NEW, NOISE, SAME, moves
from softprompt.usage.sides import open_side, working_copy

METHODS = ("majority", "random_prompt", "random_backbone", "manual", "fine_tuning", "p_tuning")
BEFORE = {"p_tuning": 0.8, "fine_tuning": 0.75, "random_prompt": 0.05}
AFTER = {"p_tuning": 0.82, "fine_tuning": 0.2, "random_prompt": 0.6}  # fine_tuning is alone in its state
PARAMS = "budget: small\nmethods:\n  p_tuning: {{encoder: {encoder}}}\n"
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@b")
PREDICTIONS = "results/evaluate/tiny_bert/predictions.parquet"
TABLE = "| suite | task | backbone | method | before | after | difference | p |"


def world(*methods: str) -> World:
    tasks = {"lama": ("P1", "P2", "P3"), "superglue": ("boolq",)}
    return World(backbones=("tiny_bert",), methods=methods, tasks=tasks, seeds=(0, 1, 2, 3), templates=2, facts=40)


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_results(folder: Path, accuracy: dict[str, float], encoder: str, *methods: str) -> None:
    """Results and their report, as a run leaves them."""
    with pytest.MonkeyPatch.context() as patch:
        for method, share in accuracy.items():
            patch.setitem(synthetic.ACCURACY, method, share)
        synthetic.make(folder, world(*methods))
    aggregate(Paths(folder), synthetic.context_of(world(*methods)))
    (folder / "params.yaml").write_text(PARAMS.format(encoder=encoder))


def commit(folder: Path, message: str) -> str:
    run(folder, sys.executable, "-m", "dvc", "add", "-q", "results/evaluate")
    run(folder, "git", "add", "reports", "params.yaml", "results/evaluate.dvc", ".dvc")
    run(folder, "git", *IDENTITY, "commit", "-qm", message)
    return run(folder, "git", "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Branch `before`, and a commit after it in which one score moved, one lies within noise, one method went and one
    came; `elsewhere` is the first commit as DVC names an experiment."""
    folder = tmp_path_factory.mktemp("repository")
    run(folder, "git", "init", "-q")
    run(folder, sys.executable, "-m", "dvc", "init", "-q")
    make_results(folder, BEFORE, "lstm", *METHODS, "manual_best")
    first = commit(folder, "Before")
    run(folder, "git", "branch", "before")
    run(folder, "git", "update-ref", f"refs/exps/{first[:2]}/{first[2:]}/elsewhere", first)
    make_results(folder, AFTER, "mlp", *METHODS, "prompt_tuning")
    commit(folder, "Another <encoder>")
    return folder


@pytest.fixture(autouse=True)
def there(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(repository)
    yield
    run(repository, "git", "checkout", "-q", "--", "reports", "params.yaml")


def kinds(scores: pd.DataFrame, task: str) -> dict[str, str]:
    rows = scores[scores["task"] == task]
    return dict(zip(rows["method"], rows["kind"], strict=True))


def scores_since(rev: str) -> pd.DataFrame:
    return moves(open_side(rev), working_copy(Path()), prepared_manifests(Paths()))


def test_what_was_planted_is_found_and_noise_is_told_from_it() -> None:
    found = kinds(scores_since("before"), "boolq")
    assert found["fine_tuning"] == MOVED
    assert found["p_tuning"] == NOISE
    assert found["majority"] == found["random_backbone"] == SAME
    assert (found["manual_best"], found["prompt_tuning"]) == (GONE, NEW)


def test_a_method_that_is_among_the_best_no_more_has_a_flipped_verdict(repository: Path) -> None:
    path = repository / "reports/intervals.csv"
    table = pd.read_csv(path)
    best = (table["task"] == "P1") & (table["method"] == "p_tuning")
    assert table.loc[best & (table["split"] == "test"), "may_be_best"].all()
    other = (table["task"] == "P1") & (table["method"] == "manual")
    table.assign(may_be_best=(table["may_be_best"] & ~best) | other).to_csv(path, index=False, float_format="%.6f")
    assert kinds(scores_since("before"), "P1")["p_tuning"] == FLIPPED
    table.assign(may_be_best=False).to_csv(path, index=False, float_format="%.6f")  # a column that is not judged
    assert FLIPPED not in set(scores_since("before")["kind"])


def test_differences_are_paired_and_narrower_than_those_of_two_intervals() -> None:
    scores = scores_since("before")
    differing = scores[scores["kind"].isin([NOISE, MOVED])]
    assert len(differing) >= 6
    assert differing["effect"].notna().all()
    assert (differing["effect"] - (differing["score_after"] - differing["score_before"])).abs().max() < 2e-6
    noise = scores[scores["kind"] == NOISE]
    apart = (noise["high_before"] - noise["low_before"]) / 2
    assert ((noise["effect_high"] - noise["effect_low"]) / 2 < apart).any()
    assert ALL_TASKS in set(differing["task"])


@pytest.mark.parametrize("lost", ["predictions", "those of the report", "examples"])
def test_without_the_same_examples_at_hand_the_intervals_decide(lost: str, repository: Path) -> None:
    path, provenance = repository / PREDICTIONS, repository / "reports/provenance.json"
    content = path.read_bytes()
    try:
        frame = pd.read_parquet(path)
        path.unlink()
        if lost != "predictions":
            frame.assign(id=frame["id"] + "-new").to_parquet(path)  # no answers to what was asked before
        if lost == "examples":
            recorded = json.loads(provenance.read_text())
            recorded["inputs"][PREDICTIONS] = sha256_of_file(path)
            provenance.write_text(json.dumps(recorded))
        scores = scores_since("before")
    finally:
        path.write_bytes(content)
    assert scores["effect"].isna().all()
    found = kinds(scores, "boolq")
    assert (found["fine_tuning"], found["p_tuning"]) == (MOVED, NOISE)


def test_the_page_says_what_moved_and_what_is_behind_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "before"]) == SOMETHING_MOVED
    page = capsys.readouterr().out
    assert page.startswith("## What moved from `before` to `the working copy`\n\nOf ")
    for heading in ("### Moved: ", "### Gone: ", "### New: ", "### Settings", "<summary>Within noise: "):
        assert heading in page
    assert page.count(TABLE) >= 4
    assert "- `methods.p_tuning.encoder`: `lstm` → `mlp`" in page
    assert re.search(r"control random_prompt on tiny_bert, lama test: \w+ → fails", page)
    assert r"Another \<encoder\>" in page
    assert "paired on the same examples" in page


def test_two_revisions_an_experiment_and_another_working_copy(repository: Path) -> None:
    page, status = diff("before", "HEAD")
    assert status == SOMETHING_MOVED
    assert "paired on the same examples" in page
    assert diff("elsewhere", "before")[1] == 0
    assert diff("HEAD")[1] == diff(str(repository), "HEAD")[1] == 0


def test_nothing_moved_is_status_0_and_says_so() -> None:
    page, status = diff("HEAD")
    assert status == 0
    assert "0 verdict flipped, 0 moved, 0 gone, 0 new, 0 within noise" in page
    assert "Settings (`params.yaml`) are the same." in page
    assert "No commit to code or settings lies between them." in page


@pytest.mark.parametrize("name", ["nowhere", "-h", "HEAD~99", "*", ""])
def test_what_is_no_revision_is_one_line(name: str) -> None:
    with pytest.raises(UserError, match=r"is no revision of this repository") as caught:
        diff(name)
    assert "\n" not in str(caught.value)


def test_a_revision_without_a_report_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "git", *IDENTITY, "commit", "-q", "--allow-empty", "-m", "Nothing")
    with pytest.raises(UserError, match=r"^HEAD has no reports/intervals\.csv; make its report"):
        diff("HEAD")


def test_a_report_of_another_version_is_one_line(repository: Path) -> None:
    path = repository / "reports/intervals.csv"
    path.write_text(path.read_text().replace("may_be_best", "best", 1))
    with pytest.raises(UserError, match=r"intervals\.csv of the working copy has no column may_be_best"):
        diff("before")
