"""What prompts hold: nearest words against a brute-force search, shares of a pool against counting by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from helpers import synthetic_results as synthetic
from helpers.profiles import fixture_params, listed
from softprompt.backbones.backbone import Backbone
from softprompt.errors import UserError
from softprompt.evaluation.prompt_contents import cosines_to_words, write_prompt_contents
from softprompt.experiments.saved_parts import SavedParts
from softprompt.experiments.task_loading import load_task_data
from softprompt.files import write_atomically
from softprompt.inputs.batches import Pool
from softprompt.paths import Paths
from softprompt.prompts.pool import PromptPool, draw
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.prompts.tuned_weights import TunedWeights
from softprompt.records import write_record
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.rendering.trained_prompts import (
    effective_prompts,
    shares_by_place,
    token_as_code,
    usage_summary,
)
from softprompt.result_files import read_table
from softprompt.results import Cell, PoolUsage, TrainResult
from softprompt.tasks.load import load_task

METHODS = ("manual", "fine_tuning", "prompt_tuning", "prompt_pool_topk")


def cell_of(method: str, task: str, seed: int, positions: int) -> Cell:
    return Cell(
        key=f"{method}-{task}-{seed}",
        suite="lama",
        task=task,
        backbone="tiny_bert",
        method=method,
        state="tuned" if method == "fine_tuning" else "frozen",
        seed=seed,
        status="done",
        positions=positions,
    )


def keyed_pool(backbone: Backbone, seed: int) -> PromptPool:
    generator = torch.Generator().manual_seed(seed)
    return PromptPool.drawn_with_keys(4, 2, 3, backbone, generator, matching_weight=1.0)


def store_cells(folder: Path, method: str, trained: dict[tuple[str, int], Trainable]) -> None:
    cells = []
    for (task, seed), parts in trained.items():
        cell, saved = cell_of(method, task, seed, parts.positions), parts.saved()
        kept = sum(tensor.numel() for tensor in saved.values())
        digest = SavedParts(folder / "parts").save(cell.key, saved)
        cells.append(cell.model_copy(update={"parameters_kept": kept, "parts_sha256": digest}))
    write_record(folder / "result.json", TrainResult(method=method, backbone="tiny_bert", cells=cells))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, prepared: Path, bert: Backbone) -> Path:
    """A run of four methods on two relations and two seeds, of which only the saved parts matter here."""
    root = tmp_path_factory.mktemp("contents")
    (root / "data").mkdir()
    (root / "data/prepared").symlink_to(prepared)
    paths = Paths(root)
    words = bert.word_embeddings()
    params = fixture_params()
    run = params.run.model_copy(update=listed(METHODS))
    folders = {name: paths.train(run.folder_of(name), "tiny_bert") for name in METHODS}
    places = [(task, seed) for task in ("P19", "P36") for seed in (3, 2)]
    store_cells(folders["manual"], "manual", {place: Trainable() for place in places})
    store_cells(
        folders["fine_tuning"], "fine_tuning", {place: Trainable(TunedWeights(bert.model)) for place in places[:1]}
    )
    prompts = {(task, seed): SoftPrompt(2.0 * words[[seed + 10, 30]], "identity") for task, seed in places}
    store_cells(folders["prompt_tuning"], "prompt_tuning", {place: Trainable(own) for place, own in prompts.items()})
    pools = {(task, seed): Trainable(keyed_pool(bert, seed)) for task, seed in places}
    store_cells(folders["prompt_pool_topk"], "prompt_pool_topk", pools)
    write_prompt_contents(params.model_copy(update={"run": run}), bert, paths, [])
    return root


def test_nearest_words_are_those_of_a_search_through_the_vocabulary(root: Path, bert: Backbone) -> None:
    rows = pd.read_csv(root / "results/evaluate/tiny_bert/nearest_tokens.csv", dtype={"vector": str})
    assert set(rows["method"]) == {"prompt_tuning", "prompt_pool_topk"}
    assert set(rows["seed"]) == {2}  # the first
    of_prompt = rows[(rows["method"] == "prompt_tuning") & (rows["task"] == "P19") & (rows["rank"] == 1)]
    assert of_prompt["token"].tolist() == [bert.tokenizer.decode([12]), bert.tokenizer.decode([30])]
    assert of_prompt["cosine"].tolist() == pytest.approx([1.0, 1.0])
    of_pool = rows[(rows["method"] == "prompt_pool_topk") & (rows["task"] == "P36")]
    assert list(dict.fromkeys(of_pool["vector"])) == [f"{m}.{n}" for m in range(4) for n in range(2)]
    parts = Paths(root).train("prompt_pool_topk", "tiny_bert") / "parts"
    saved = load_file(parts / "prompt_pool_topk-P36-2.safetensors")
    vector, words = saved["pool.entries"][3, 1].numpy(), bert.word_embeddings().numpy()
    cosines = [vector @ word / (np.linalg.norm(vector) * np.linalg.norm(word) or 1) for word in words]
    best = sorted(range(len(words)), key=lambda token: -cosines[token])[:3]
    nearest = of_pool[of_pool["vector"] == "3.1"]
    assert nearest["cosine"].tolist() == pytest.approx([cosines[token] for token in best], abs=1e-5)
    assert nearest["token"].tolist() == [bert.tokenizer.decode([token]) for token in best]


def test_a_vector_without_length_is_near_nothing() -> None:
    assert cosines_to_words(torch.zeros(1, 3), torch.eye(3)).tolist() == [[0.0] * 3]


def test_usage_counts_how_often_dev_examples_take_each_prompt(root: Path, bert: Backbone, prepared: Path) -> None:
    usage = pd.read_csv(root / "results/evaluate/tiny_bert/pool_usage.csv")
    assert len(usage) == 2 * 2 * 4
    assert usage.groupby(["task", "seed"])["share"].sum().to_numpy() == pytest.approx([1.0] * 4, abs=1e-5)
    data = load_task_data(prepared / "lama", load_task("lama", "P19", prepared), bert, 128, head=False)
    split = data.split("dev", data.task.plain.with_prompt_in_front(), 3)
    pool = keyed_pool(bert, 3)
    counts = np.zeros(4)
    for number in range(len(split)):
        batch = Pool([split], bert.device).batch(torch.tensor([0]), torch.tensor([number]))
        counts += draw([pool], bert, batch).shares[0].detach().numpy()
    own = usage[(usage["task"] == "P19") & (usage["seed"] == 3)]["share"]
    assert own.to_numpy() == pytest.approx(counts / len(split), abs=1e-5)


@pytest.mark.parametrize(("shares", "effective"), [([1.0, 0, 0], 1.0), ([0.25] * 4, 4.0), ([0.5, 0.5, 0], 2.0)])
def test_effective_prompts_of_known_shares(shares: list[float], effective: float) -> None:
    assert effective_prompts(np.array(shares)) == pytest.approx(effective)


def usage_of(shares: dict[int, list[float]]) -> pd.DataFrame:
    place = {"suite": "lama", "task": "P1", "backbone": "tiny_bert", "method": "p_tuning"}
    rows = [{**place, "seed": seed, "prompt": n, "share": s} for seed, own in shares.items() for n, s in enumerate(own)]
    return pd.DataFrame(rows)


def test_a_collapsed_pool_shows() -> None:
    usage = usage_of({100: [0.0, 1.0], 101: [0.5, 0.5]})
    (row,) = usage_summary(usage).itertuples()
    assert (row.cells, row.prompts, row.effective, row.least_effective) == (2, 2, 1.5, 1.0)
    assert (row.largest, row.unused) == (0.75, 0.5)
    assert shares_by_place(usage)["share"].tolist() == [0.75, 0.25]


def test_a_report_shows_words_and_pools(tmp_path: Path) -> None:
    world = synthetic.World(backbones=("tiny_bert",), tasks={"lama": ("P1",)})
    synthetic.make(tmp_path, world)
    folder = tmp_path / "results/evaluate/tiny_bert"
    arguments = (Paths(tmp_path), synthetic.context_of(world))
    aggregate(*arguments)
    assert not (tmp_path / "reports/prompts.md").exists()
    assert "prompts.md" not in (tmp_path / "reports/README.md").read_text()
    place = "lama,P1,tiny_bert,p_tuning,100"
    header = "suite,task,backbone,method,seed"
    words = [f"{place},0,{rank},{token},0.{9 - rank}" for rank, token in ((1, "nan"), (2, "a|b"), (3, " x"))]
    write_atomically(folder / "nearest_tokens.csv", "\n".join([f"{header},vector,rank,token,cosine", *words]) + "\n")
    usage_of({100: [0.0, 1.0], 101: [0.5, 0.5]}).to_csv(folder / "pool_usage.csv", index=False, columns=[
        *header.split(","), "prompt", "share"])  # fmt: skip
    aggregate(*arguments)
    page = (tmp_path / "reports/prompts.md").read_text()
    assert "| `p_tuning` | 0 | `nan` `a\\|b` `␣x` (0.80) |" in page
    assert "| tiny_bert | `p_tuning` | lama | 2 | 2 | 1.5 | 1.0 | 75.0 | 0.5 |" in page
    assert (tmp_path / "reports/plots/pool_usage.svg").is_file()
    assert (tmp_path / "reports/nearest_tokens.csv").read_text().count("\n") == 4
    assert "prompts.md" in (tmp_path / "reports/README.md").read_text()


def test_a_table_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pool_usage.csv"
    write_atomically(path, "suite,share\nlama,1\n")
    with pytest.raises(UserError, match=r"pool_usage.csv: columns are suite, share,"):
        read_table(path, PoolUsage)


def test_marks_that_end_a_cell_are_written_otherwise() -> None:
    assert token_as_code("a|`b\n") == "`` a\\|`b↵ ``"
