"""What a row asks: its text without prompt vectors, padding and the tokens of a candidate.

A prompt that is chosen by the question is the same for all candidates of an example, and never tells the answer that it
is to score. Axes: R rows, T tokens, D word-embedding size.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.inputs.batches import Batch


def question_tokens(backbone: Backbone, batch: Batch) -> Bool[Tensor, "R T"]:
    """Which tokens are the row's question. A candidate is told by the tokens after the first place that is read
    (causal) or by the number of masks, of which one stays (masked); an encoder never sees it (seq2seq)."""
    columns = torch.arange(batch.ids.shape[1], device=batch.ids.device)
    first = batch.read_at[:, :1]
    own = batch.attention_mask.bool() & (batch.slots < 0)
    if backbone.kind == "causal":
        return own & (columns <= first)
    if backbone.kind == "masked":
        return own & ((batch.ids != backbone.tokenizer.mask_token_id) | (columns == first))
    return own


def mean_embedding(backbone: Backbone, batch: Batch) -> Float[Tensor, "R D"]:
    """Mean word embedding of each row's question."""
    own = question_tokens(backbone, batch)[..., None]
    embeddings = backbone.embed(batch.ids)  # (R, T, D)
    return (embeddings * own).sum(dim=1) / own.sum(dim=1)
