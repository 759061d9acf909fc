"""Solved examples in front of a question, and what a backbone answers to a question without content.

Axes: P tokens of the examples, W outputs.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.errors import UserError
from softprompt.inputs.batches import Pool, one_row_each
from softprompt.inputs.encoding import PIECES, encode_texts, tokenize
from softprompt.inputs.task_data import TaskData
from softprompt.prompts.trainable import Trainable, gather
from softprompt.tasks.candidates import candidates_of, gold_candidates
from softprompt.tasks.task import Task, Template
from softprompt.training.fleet import Fleet

CONTENT_FREE = ("N/A", "[MASK]", "")  # Zhao et al. 2021, section 4


def solved(task: Task, wording: str, examples: pd.DataFrame) -> list[str]:
    """Every example in the wording's words, its fields and its right answer filled in."""
    texts = []
    for row, answer in zip(examples.to_dict("records"), _answers(task, examples), strict=True):
        filled = {**{name: str(row[name]) for name in task.fields}, "mask": answer, "sep": ""}
        pieces = [filled[piece[1:-1]] if PIECES.fullmatch(piece) else piece for piece in PIECES.split(wording)]
        texts.append(" ".join("".join(pieces).split()))
    return texts


def fitting_tokens(
    backbone: Backbone, texts: Sequence[str], separator: str, most: int, room: int
) -> tuple[Int[Tensor, "P"], int]:
    """The tokens of the first texts that fit into `room`, a separator after each, and how many texts they are.

    A text too long for what is left is passed over. Raises UserError where none fits.
    """
    chosen: list[str] = []
    ids: list[int] = []
    for text in texts:
        longer = tokenize(backbone.tokenizer, separator.join([*chosen, text]) + separator.rstrip(" "))
        if len(longer) <= room:
            chosen, ids = [*chosen, text], longer
        if len(chosen) == most:
            break
    if not chosen:
        raise UserError(
            f"no solved example fits beside the longest train row: {max(room, 0)} tokens are free; "
            "use a larger max_tokens"
        )
    return torch.tensor(ids), len(chosen)


def content_free_bias(data: TaskData, template: Template, shown: Trainable) -> Float[Tensor, "W"]:
    """What makes all outputs equally likely where every field is empty of content: minus the logarithm of their mean
    probability over the fillers of CONTENT_FREE."""
    backbone, length = data.backbone, shown.positions
    examples = pd.DataFrame(dict.fromkeys(data.task.fields, CONTENT_FREE))
    encoded = encode_texts(backbone, template, examples, length, data.max_tokens)
    nothing = torch.zeros(len(examples), dtype=torch.long)  # no answer is right
    pool = Pool([one_row_each(encoded, nothing)], backbone.device)
    batch = pool.batch(nothing, torch.arange(len(examples)))
    with torch.no_grad():
        parts = gather([shown.to(backbone.device)])
        logits = Fleet(backbone, [data.label_space.outputs]).read(batch, parts).logits
    return -(logits.log_softmax(dim=1).logsumexp(dim=0) - torch.tensor(float(len(examples))).log().to(logits))


def _answers(task: Task, examples: pd.DataFrame) -> list[str]:
    if task.answer_form == "label":
        return [task.verbalizer.get(label, label) for label in examples["label"]]
    pairs = zip(candidates_of(task, examples), gold_candidates(task, examples), strict=True)
    return [texts[right.index(True)] for texts, right in pairs]
