"""Asking a backbone for facts: ours beside the way of P-tuning's code (THUDM/P-tuning, LAMA/p_tuning/modeling.py),
which projects all positions, sorts the whole vocabulary at each, and walks down to the first word that is permitted."""

from collections.abc import Set
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.benchmark.fleets import asked
from softprompt.benchmark.settings import VOCABULARY, Shape, Texts
from softprompt.config import Device
from softprompt.inputs.batches import Pool
from softprompt.inputs.outputs import OutputSpace
from softprompt.prompts.trainable import FleetParts
from softprompt.training.fleet import Fleet

if TYPE_CHECKING:  # transformers must find the quiet settings when it is imported
    from transformers import PreTrainedModel

PERMITTED = 20_000  # words, about as many as LAMA's vocabularies hold
NAIVE_BATCH = 32


def permitted_words(shape: Shape) -> Bool[Tensor, "V"]:
    """A random restricted vocabulary."""
    size = VOCABULARY[shape]
    permitted = torch.zeros(size, dtype=torch.bool)
    permitted[torch.randperm(size, generator=torch.Generator().manual_seed(0))[:PERMITTED]] = True
    return permitted


def answers(backbone: Backbone, texts: Texts, permitted: Bool[Tensor, "V"]) -> Int[Tensor, "N"]:
    """As the suite evaluates a manual prompt."""
    fleet = Fleet(backbone, [OutputSpace(permitted, torch.ones_like(permitted))])
    pool = Pool([asked(texts, 0)], backbone.device)
    return fleet.predict(pool, [0], FleetParts(), Device().inference_tokens)[0].prediction


@torch.no_grad()
def naive_answers(model: "PreTrainedModel", texts: Texts, permitted: Set[int]) -> list[int]:
    """Batch by batch."""
    causal = texts.shape == "gpt2"
    ids = (texts.ids[:, :-1] if causal else texts.masked()).to(model.device)
    place = texts.place - 1 if causal else texts.place
    found = []
    for batch in torch.split(ids, NAIVE_BATCH):
        ranked = torch.argsort(model(input_ids=batch).logits, dim=2, descending=True)
        for row in ranked:
            found.append(next(word for word in row[place].tolist() if word in permitted))
    return found
