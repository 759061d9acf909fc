"""What trained prompts hold: the words nearest to their vectors, and which prompts of a pool are used at all.

Axes: N vectors, C cells, M prompts of a pool, D word-embedding size, V vocabulary.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.config import Params
from softprompt.data.prepared import load_split
from softprompt.evaluation.trained_cells import TrainedCells
from softprompt.files import write_csv
from softprompt.inputs.batches import Pool, Split, inference_chunks
from softprompt.inputs.label_space import keep_answerable
from softprompt.inputs.task_data import encode_split
from softprompt.paths import Paths
from softprompt.prompts.pool import PromptPool, draw
from softprompt.records import Record
from softprompt.result_files import FailedCell
from softprompt.results import Cell, NearestToken, PoolUsage
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Task

NEAREST = 3  # words a vector


def write_prompt_contents(params: Params, backbone: Backbone, paths: Paths, failures: Sequence[FailedCell]) -> None:
    """Write `nearest_tokens.csv`, of the first seed of every task, and `pool_usage.csv`, of all cells with a pool.
    What holds no answer is not described: the cells that failed are left out."""
    failed = {(one.method, one.suite, one.task, one.seed) for one in failures}
    nearest: list[NearestToken] = []
    usage: list[PoolUsage] = []
    for name in params.run.methods:
        trained = TrainedCells(params, name, backbone, paths)
        for (suite, task_name), cells in trained.cells.items():
            task = load_task(suite, task_name, paths.prepared)
            answering = [cell for cell in cells if (name, suite, task_name, cell.seed) not in failed]
            if answering and _has_vectors_in_words(trained, task):
                nearest += nearest_tokens(trained, min(answering, key=lambda cell: cell.seed))
                usage += pool_usage(trained, task, answering)
    out = paths.evaluate(backbone.name)
    write_csv(out / "nearest_tokens.csv", _table(nearest, NearestToken))
    write_csv(out / "pool_usage.csv", _table(usage, PoolUsage))


def nearest_tokens(trained: TrainedCells, cell: Cell) -> Iterator[NearestToken]:
    """The words with the highest cosine to each vector of a cell's prompt or pool; none where it keeps neither."""
    vectors: dict[str, Tensor] = {}
    for part in trained.loaded(cell).parts():
        vectors |= part.word_like_vectors()
    if not vectors:
        return
    tokenizer = trained.backbone.tokenizer
    words = trained.backbone.word_embeddings()[: len(tokenizer)]
    cosines, ids = cosines_to_words(torch.stack(list(vectors.values())), words).topk(NEAREST, dim=1)
    place = cell.model_dump(include={"suite", "task", "backbone", "method", "seed"})
    for number, vector in enumerate(vectors):
        for rank in range(NEAREST):
            token, cosine = tokenizer.decode([int(ids[number, rank])]), float(cosines[number, rank])
            yield NearestToken(**place, vector=vector, rank=rank + 1, token=token, cosine=cosine)


def cosines_to_words(vectors: Float[Tensor, "N D"], words: Float[Tensor, "V D"]) -> Float[Tensor, "N V"]:
    """Cosines of all vectors with all words; 0 where either has no length."""
    normalised = [nn.functional.normalize(each.float(), dim=1) for each in (vectors, words)]
    return normalised[0] @ normalised[1].mT


def pool_usage(trained: TrainedCells, task: Task, cells: Sequence[Cell]) -> Iterator[PoolUsage]:
    """How much of what a cell's dev examples draw comes from each prompt of its pool; nothing of other methods."""
    if PromptPool.name not in trained.loaded(cells[0]):
        return
    pools = [trained.loaded(cell).part(PromptPool) for cell in cells]
    shares = mean_shares(pools, _dev_splits(trained, task, cells), trained.backbone, trained.params)
    for cell, row in zip(cells, shares.tolist(), strict=True):
        place = cell.model_dump(include={"suite", "task", "backbone", "method", "seed"})
        yield from (PoolUsage(**place, prompt=number, share=share) for number, share in enumerate(row))


@torch.no_grad()
def mean_shares(
    pools: Sequence[PromptPool], splits: Sequence[Split], backbone: Backbone, params: Params
) -> Float[Tensor, "C M"]:
    """Means over each cell's examples, however many candidates they have."""
    rows = Pool(splits, backbone.device)
    member = torch.repeat_interleave(torch.arange(len(pools)), torch.tensor(rows.sizes))
    number = torch.cat([torch.arange(size) for size in rows.sizes])
    sums = torch.zeros(len(pools), len(pools[0].entries), dtype=torch.double, device=backbone.device)
    for chunk in inference_chunks(rows, member, number, params.device.inference_tokens):
        batch = rows.batch(member[chunk], number[chunk])
        drawn = draw(pools, backbone, batch)
        candidates = torch.bincount(batch.example)[batch.example]
        sums.index_add_(0, batch.member, drawn.shares.double() / candidates[:, None])
    return (sums / torch.tensor(rows.sizes, device=sums.device)[:, None]).cpu()


def _dev_splits(trained: TrainedCells, task: Task, cells: Sequence[Cell]) -> list[Split]:
    label_space, backbone = trained.label_space_of(task), trained.backbone
    examples = keep_answerable(label_space, load_split(trained.paths.suite(task.suite), task.name, "dev"))
    template = trained.method.templates(task, backbone.kind)[0]
    limit = min(trained.params.max_tokens, backbone.max_tokens)
    lengths = [cell.positions for cell in cells]
    encoded = {n: encode_split(label_space, backbone, template, examples, n, limit) for n in set(lengths)}
    return [encoded[length] for length in lengths]


def _has_vectors_in_words(trained: TrainedCells, task: Task) -> bool:
    """Whether vectors stand among the words of the template, so that comparing them with words says something."""
    return any("prompt" in template.slots() for template in trained.method.templates(task, trained.backbone.kind))


def _table(rows: Sequence[Record], record: type[Record]) -> pd.DataFrame:
    return pd.DataFrame([row.model_dump() for row in rows], columns=list(record.model_fields))
