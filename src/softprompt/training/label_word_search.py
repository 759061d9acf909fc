"""Words for labels, found by what a classifier of the backbone's answers would read out of its vocabulary.

AutoPrompt (Shin et al. 2020, section 2.3; autoprompt/label_search.py): a logistic classifier predicts labels from the
states that the vocabulary is scored by; the words whose own vectors it gives to a label with most certainty stand for
that label. Axes: N examples, H size of these states, V vocabulary, L labels, K words of a label.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.inputs.batches import Pool
from softprompt.prompts.label_words import NO_WORD
from softprompt.prompts.trainable import gather
from softprompt.training.fleet import Fleet
from softprompt.training.member import Member
from softprompt.training.rows import Rows

PENALTY = 1e-2  # on squared weights: with few examples the classes can be separated in many ways
ITERATIONS = 100


def find_label_words(
    backbone: Backbone, member: Member, labels: list[int], batches: Iterable[Int[Tensor, "B"]], words: int
) -> tuple[Int[Tensor, "L 1+K"], Rows]:
    """Rows of an output of `labels` and the tokens that stand for it, the surest first; no token twice. Examples of the
    train split, `batches` of their numbers, are read under the member's present trigger; how many, is said too."""
    fleet = Fleet(backbone, [member.space])
    states, outputs = _answer_states(fleet, member, batches)
    gold = (outputs[:, None] == torch.tensor(labels)).int().argmax(dim=1)
    certainty = label_certainty(states, gold, _vocabulary(backbone), len(labels))
    certainty = certainty.masked_fill(~_words(backbone)[:, None], float("-inf"))
    return surest_words(certainty, labels, words), fleet.rows()[0]


def label_certainty(
    states: Float[Tensor, "N H"], gold: Int[Tensor, "N"], vocabulary: Float[Tensor, "V H"], labels: int
) -> Float[Tensor, "V L"]:
    """The log-probability of each label that a logistic classifier, fitted to the states, gives each word's vector.
    All but the vocabulary is on the CPU: every step of the fit hangs on numbers of the one before."""
    weight = torch.zeros(labels, states.shape[1], dtype=states.dtype, requires_grad=True)
    bias = torch.zeros(labels, dtype=states.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        fitted = nn.functional.cross_entropy(states @ weight.T + bias, gold) + PENALTY * weight.square().sum()
        torch.autograd.backward(fitted)
        return fitted

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    weight, bias = (fitted.detach().to(vocabulary.device) for fitted in (weight, bias))
    return (vocabulary @ weight.T + bias).log_softmax(dim=1).cpu()


def surest_words(certainty: Float[Tensor, "V L"], labels: list[int], words: int) -> Int[Tensor, "L 1+K"]:
    """For each label the words of highest certainty among those that are surer of no other label."""
    owner = certainty.argmax(dim=1)
    rows = torch.full((len(labels), 1 + words), NO_WORD)
    for index, output in enumerate(labels):
        own = certainty[:, index].masked_fill(owner != index, float("-inf"))
        best = own.topk(words)
        found = best.indices[best.values.isfinite()]
        rows[index, 0] = output
        rows[index, 1 : 1 + len(found)] = found
        if not len(found):  # no word speaks for it: its own one stays
            rows[index, 1] = output
    return rows


@torch.no_grad()
def _answer_states(
    fleet: Fleet, member: Member, batches: Iterable[Int[Tensor, "B"]]
) -> tuple[Float[Tensor, "N H"], Int[Tensor, "N"]]:
    """What goes into the last layer where answers are read, and the right outputs, on the CPU."""
    backbone, pool = fleet.backbone, Pool([member.train], fleet.backbone.device)
    parts, found, outputs = gather([member.trainable]), [], []
    layer: nn.Module = backbone.model.get_output_embeddings()
    handle = layer.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].detach().flatten(0, -2)))
    try:
        for rows in batches:
            reading = fleet.read(pool.batch(torch.zeros_like(rows), rows), parts)
            outputs.append(reading.target)
    finally:
        handle.remove()
    states = torch.cat(found).cpu()
    return states.to(torch.promote_types(states.dtype, torch.float)), torch.cat(outputs).cpu()


def _vocabulary(backbone: Backbone) -> Float[Tensor, "V H"]:
    weight: Tensor = backbone.model.get_output_embeddings().weight.detach()
    return weight.to(torch.promote_types(weight.dtype, torch.float))


def _words(backbone: Backbone) -> Bool[Tensor, "V"]:
    """Tokens that read as words: letters only, and no special tokens."""
    tokenizer, size = backbone.tokenizer, int(backbone.model.config.vocab_size)
    special = set(tokenizer.all_special_ids)
    words = [i not in special and tokenizer.decode([i]).strip().isalpha() for i in range(min(size, len(tokenizer)))]
    return torch.tensor(words + [False] * (size - len(words)))
