"""What the members of a fleet add to a pass through the backbone, gathered alike in training and in answering.

Axes: F members, P prompt vectors, D word-embedding size, A attentions of a pass, H numbers in one key or value,
C wordings of an example, L labels, K words of a label, M tokens that are read, W outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from softprompt.prompts.pool import PromptPool, restored_pool
from softprompt.prompts.prefix import PrefixEncoder
from softprompt.prompts.selector import Selector, restored_selector
from softprompt.prompts.soft_prompt import PromptEncoder, fleet_prompts
from softprompt.prompts.trainable import PLAIN_PARTS, Trainable

NO_WORD = -1  # fills rows of labels that have fewer words


@dataclass(frozen=True)
class Parts:
    """Parts of all members in their order; None where the method has none of the kind.

    `mixture` are the weights of the wordings of an example, which sum to one. A row of `label_words` is an output and
    the tokens whose summed probability it stands for. `bias` is added to the logits.
    """

    prompts: Float[Tensor, "F P D"] | None = None
    heads: Sequence[nn.Linear] | None = None
    prefixes: Sequence[Float[Tensor, "P A 2 H"]] | None = None
    pools: Sequence[PromptPool] | None = None
    mixture: Float[Tensor, "F C"] | None = None
    label_words: Int[Tensor, "F L 1+K"] | None = None
    bias: Float[Tensor, "F W"] | None = None
    selectors: Sequence[Selector] | None = None

    def rescored(self, logits: Float[Tensor, "M W"], member: Int[Tensor, "M"]) -> Float[Tensor, "M W"]:
        """Logits after label words and bias have had their say."""
        if self.label_words is not None:
            rows = self.label_words[member]
            outputs, words = rows[..., 0], rows[..., 1:]
            found = logits.gather(1, words.clamp(min=0).flatten(1)).view_as(words)  # (M, L, K)
            found = found.masked_fill(words == NO_WORD, float("-inf"))
            logits = logits.scatter(1, outputs, found.logsumexp(dim=2))
        return logits if self.bias is None else logits + self.bias[member]


def gather(trainables: Sequence[Trainable]) -> Parts:
    """The parts of members of one method, with the graph that leads back to their parameters."""
    prompts = [trainable.prompt for trainable in trainables if trainable.prompt is not None]
    heads = [trainable.head for trainable in trainables if trainable.head is not None]
    prefixes = [trainable.prefix() for trainable in trainables if trainable.prefix is not None]
    pools = [trainable.pool for trainable in trainables if trainable.pool is not None]
    selectors = [trainable.selector for trainable in trainables if trainable.selector is not None]
    mixtures = [trainable.mixture.softmax(dim=0) for trainable in trainables if trainable.mixture is not None]
    biases = [trainable.bias for trainable in trainables if trainable.bias is not None]
    return Parts(
        prompts=fleet_prompts(prompts) if prompts else None,
        heads=heads or None,
        prefixes=prefixes or None,
        pools=pools or None,
        selectors=selectors or None,
        mixture=pad_sequence(mixtures, batch_first=True) if mixtures else None,
        label_words=_stacked_words([trainable.label_words for trainable in trainables]),
        bias=torch.stack(biases) if biases else None,
    )


def restored(kept: Mapping[str, Tensor]) -> Trainable:
    """The inverse of `Trainable.kept`, but for a backbone's weights: parts that give what training left."""
    prompt = PromptEncoder(kept["prompt"], "identity") if "prompt" in kept else None
    return Trainable(
        prompt=prompt,
        head=_restored_head(kept) if "head.weight" in kept else None,
        prefix=PrefixEncoder(kept["prefix"].flatten(1), kept["prefix"].shape[1]) if "prefix" in kept else None,
        pool=restored_pool(kept),
        selector=restored_selector(kept),
        mixture=nn.Parameter(kept["mixture"]) if "mixture" in kept else None,
        **{name: kept.get(name) for name in PLAIN_PARTS if name != "mixture"},
    )


def _restored_head(kept: Mapping[str, Tensor]) -> nn.Linear:
    outputs, hidden = kept["head.weight"].shape
    head = nn.Linear(hidden, outputs, device=kept["head.weight"].device)
    head.load_state_dict({"weight": kept["head.weight"], "bias": kept["head.bias"]})
    return head


def _stacked_words(found: Sequence[Int[Tensor, "L 1+K"] | None]) -> Int[Tensor, "F L 1+K"] | None:
    """Label words of all members; one without any, or with fewer labels, gets rows by which an output stands for
    itself."""
    there = [words for words in found if words is not None]
    if not there:
        return None
    labels, width = (max(words.shape[axis] for words in there) for axis in (0, 1))
    itself = torch.full((labels, width), NO_WORD, device=there[0].device)
    itself[:, :2] = 0  # output 0 stands for token 0
    stacked = itself.repeat(len(found), 1, 1)
    for words, place in zip(found, stacked, strict=True):
        if words is not None:
            place[: len(words), : words.shape[1]] = words
    return stacked
