"""What a masked backbone writes into a row's masks, and whether that says the same as a given text.

PET asks Winograd schemas so (timoschick/pet, pet/task_helpers.py, WscTaskHelper.eval_step): the surest mask is filled
with its likeliest token, then all others are read again. Two texts say the same where one has every word of the other,
as in T5's paper (Raffel et al. 2020, https://arxiv.org/abs/1910.10683, appendix A). Axes: R rows, K tokens of an
answer, M tokens that are read.
"""

import re
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.inputs.batches import Batch
from softprompt.inputs.encoding import NO_TOKEN
from softprompt.inputs.outputs import Reading

NO_LETTERS = re.compile("[^a-z]+")


def fill_masks(first: Reading, read: Callable[[Batch], Reading]) -> Int[Tensor, "R K"]:
    """The tokens that stand in each row's masks in the end, padded with NO_TOKEN. `first` reads the batch unfilled.

    A prompt that is chosen by the question reads what was filled in as part of it.
    """
    batch, reading = first.batch, first
    row, place = batch.read
    tokens = torch.full_like(batch.target, NO_TOKEN)
    waiting = batch.target != NO_TOKEN  # (R, K)
    while True:
        surest, likeliest = reading.logits.softmax(dim=1).max(dim=1)  # (M,)
        sureness = torch.full_like(waiting, -1, dtype=surest.dtype).index_put((row, place), surest)
        chosen = sureness.masked_fill(~waiting, -1).argmax(dim=1)  # (R,)
        rows = waiting.any(dim=1).nonzero()[:, 0]
        written = torch.zeros_like(tokens).index_put((row, place), likeliest)
        tokens[rows, chosen[rows]] = written[rows, chosen[rows]]
        waiting[rows, chosen[rows]] = False
        if not bool(waiting.any()):
            return tokens
        ids = batch.ids.clone()
        ids[rows, batch.read_at[rows, chosen[rows]]] = tokens[rows, chosen[rows]]
        batch = replace(batch, ids=ids)
        reading = read(batch)


def say_the_same(backbone: Backbone, written: Int[Tensor, "R K"], wanted: Int[Tensor, "R K"]) -> Bool[Tensor, "R"]:
    """Whether each row of tokens has all the words of the other, or the other has all of its."""
    pairs = zip(written.tolist(), wanted.tolist(), strict=True)
    words = [(_words(backbone, one), _words(backbone, other)) for one, other in pairs]
    return torch.tensor([one <= other or other <= one for one, other in words], device=written.device)


def _words(backbone: Backbone, tokens: list[int]) -> set[str]:
    special = {NO_TOKEN, *backbone.tokenizer.all_special_ids}
    text = backbone.tokenizer.decode([token for token in tokens if token not in special])
    return set(NO_LETTERS.split(text.lower())) - {""}
