"""What a row asks: its text without prompt vectors, padding and the tokens of a candidate.

A prompt that is chosen by the question is the same for all candidates of an example, and never tells the answer that it
is to score. Where every word is tagged, the question is the whole sentence.
Axes: R rows, T tokens, D word-embedding size.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.inputs.batches import Batch


def question_tokens(backbone: Backbone, batch: Batch) -> Bool[Tensor, "R T"]:
    """Which tokens are the row's question. A candidate is told by the tokens after the place where the question ends
    (causal) or by the number of masks, of which one stays (masked); an encoder never sees it (seq2seq)."""
    columns = torch.arange(batch.ids.shape[1], device=batch.ids.device)
    first = asked_at(backbone, batch)
    own = batch.attention_mask.bool() & (batch.slots < 0)
    if backbone.kind == "causal":
        return own & (columns <= first)
    if backbone.kind == "masked":
        return own & ((batch.ids != backbone.tokenizer.mask_token_id) | (columns == first))
    return own


def asked_at(backbone: Backbone, batch: Batch) -> Int[Tensor, "R 1"]:
    """The place whose state stands for the row's question: where the answer's first token is read. For a sentence whose
    words are all read it is the last token (causal), which alone has seen all of it, or the first (masked)."""
    if not batch.tagged:
        return batch.read_at[:, :1]
    lengths = batch.attention_mask.sum(dim=1, keepdim=True)
    return lengths - 1 if backbone.kind == "causal" else torch.zeros_like(lengths)


def mean_embedding(backbone: Backbone, batch: Batch) -> Float[Tensor, "R D"]:
    """Mean word embedding of each row's question."""
    own = question_tokens(backbone, batch)[..., None]
    embeddings = backbone.embed(batch.ids)  # (R, T, D)
    return (embeddings * own).sum(dim=1) / own.sum(dim=1)
