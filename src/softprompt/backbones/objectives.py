"""What a backbone of each kind is pretrained to predict.

Axes: B rows, T tokens, A answers in the batch, S decoder tokens.

Masked models learn by salient-span masking: only answer words (objects, labels) are masked, always by the mask token,
and only there is a loss. This is not standard masked language modelling, in which losses at unpredictable words drown
the facts of so small a model. Causal models learn the next token, at all answers but only at a sample of the other
tokens, for the same reason and because projecting to the vocabulary is half the work. T5 learns span corruption of the
answer words.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from softprompt.backbones.architectures import SENTINELS
from softprompt.backbones.forward import vocabulary_logits
from softprompt.backbones.packing import Rows
from softprompt.config import Kind

IGNORED = -100
Objective = Callable[[PreTrainedModel, PreTrainedTokenizerBase, Rows], Tensor]


def attention_mask(rows: Rows, device: torch.device) -> Tensor:
    """(B, T): 1 at tokens, 0 at padding."""
    return torch.from_numpy(np.arange(rows.ids.shape[1]) < rows.lengths[:, None]).long().to(device)


def masked_loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Rows) -> Tensor:
    """Mean loss at the answers, each replaced by the mask token."""
    predicted = torch.from_numpy(rows.answers).to(model.device)
    ids = torch.from_numpy(rows.ids).to(model.device)
    masked = ids.masked_fill(predicted, int(tokenizer.mask_token_id))
    hidden = model.base_model(input_ids=masked, attention_mask=attention_mask(rows, model.device)).last_hidden_state
    return F.cross_entropy(vocabulary_logits(model, hidden[predicted]), ids[predicted])  # (A, V), (A,)


def causal_loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Rows) -> Tensor:  # noqa: ARG001
    """Mean next-token loss at the answers and a sample of the other tokens. Padding, on the right, is seen by none."""
    ids = torch.from_numpy(rows.ids).to(model.device)
    hidden = model.base_model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state  # (B, T-1, H)
    predicted = torch.from_numpy(rows.answers | rows.sampled)[:, 1:].to(model.device)
    return F.cross_entropy(vocabulary_logits(model, hidden[predicted]), ids[:, 1:][predicted])


def seq2seq_loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Rows) -> Tensor:
    """Mean loss of the decoder, which reads out `<extra_id_0> answer <extra_id_1> answer ...`."""
    sentinels = tokenizer.convert_tokens_to_ids(list(SENTINELS))
    inputs, targets = corrupt_answers(rows, sentinels, int(tokenizer.eos_token_id))
    return model(
        input_ids=inputs.to(model.device),
        attention_mask=attention_mask(rows, model.device),
        labels=targets.to(model.device),
    ).loss


def corrupt_answers(rows: Rows, sentinels: list[int], end: int) -> tuple[Tensor, Tensor]:
    """Encoder ids (B, T) with the row's answers replaced by sentinels in order, and the decoder's targets (B, S)."""
    ids = rows.ids.copy()
    targets = np.full((len(ids), 2 * len(sentinels) + 1), IGNORED, dtype=np.int64)
    number = np.cumsum(rows.answers, axis=1) - 1  # (B, T)
    where = rows.answers & (number < len(sentinels))
    row, column = np.nonzero(where)
    k = number[row, column]
    targets[row, 2 * k] = np.asarray(sentinels)[k]
    targets[row, 2 * k + 1] = ids[row, column]
    targets[np.arange(len(ids)), 2 * where.sum(axis=1)] = end
    ids[row, column] = np.asarray(sentinels)[k]
    longest = 2 * int(where.sum(axis=1).max()) + 1
    return torch.from_numpy(ids), torch.from_numpy(targets[:, :longest].copy())


OBJECTIVES: dict[Kind, Objective] = {"masked": masked_loss, "causal": causal_loss, "seq2seq": seq2seq_loss}
