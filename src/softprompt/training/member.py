"""A member of a fleet: one trial or cell with everything of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from softprompt.results import CurvePoint
from softprompt.tasks.task import AnswerForm
from softprompt.training.batches import Split
from softprompt.training.prefixes import PrefixEncoder
from softprompt.training.prompt_pools import PromptPool
from softprompt.training.prompts import PromptEncoder
from softprompt.training.selectors import Selector

if TYPE_CHECKING:
    from transformers import PreTrainedModel


PLAIN_PARTS = ("mixture", "tokens", "label_words", "bias")  # of a Trainable, kept as they are


@dataclass(frozen=True)
class AnswerSpace:
    """What a row may be answered with. An output (W) is a vocabulary entry, or a class of a classification head.

    `allowed` are the outputs that can be predicted, `in_loss` those that the softmax of the loss runs over: LAMA trains
    over the whole vocabulary and predicts from the restricted one (THUDM/P-tuning LAMA/p_tuning/modeling.py).
    Candidates and generated texts are made of any outputs; there `form` says how rows become an answer (tasks/task.py).
    """

    allowed: Bool[Tensor, "W"]
    in_loss: Bool[Tensor, "W"]
    form: AnswerForm = "label"


@dataclass(frozen=True)
class Answered:
    """What was answered to each example: output (or candidate, or 1 where the text was generated, or an output a word,
    padded with NO_TOKEN), the gold answer's rank among the possible ones, its loss."""

    prediction: Int[Tensor, "N"] | Int[Tensor, "N K"]
    gold_rank: Int[Tensor, "N"]
    loss: Float[Tensor, "N"]


class Trainable(nn.Module):
    """What a member may train: a prompt, a head, the backbone's weights, a prefix, a pool, a selector, weights of an
    example's wordings (as logits); and what it may find otherwise: the tokens of a prompt of words, words for labels, a
    bias. Absent parts are None.

    Members of a group may hold the same parameters: these train on the sum of their losses.
    """

    mixture: nn.Parameter | None
    tokens: Int[Tensor, "P"] | None
    label_words: Int[Tensor, "L 1+K"] | None
    bias: Float[Tensor, "W"] | None

    def __init__(
        self,
        prompt: PromptEncoder | None = None,
        head: nn.Linear | None = None,
        model: "PreTrainedModel | None" = None,
        prefix: PrefixEncoder | None = None,
        pool: PromptPool | None = None,
        selector: Selector | None = None,
        mixture: nn.Parameter | None = None,
        tokens: Tensor | None = None,
        label_words: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.prompt = prompt
        self.head = head
        self.model = model
        self.prefix = prefix
        self.pool = pool
        self.selector = selector
        self.mixture = mixture
        for name, found in {"tokens": tokens, "label_words": label_words, "bias": bias}.items():
            self.register_buffer(name, found)

    def parameter_count(self) -> int:
        """Numbers that get gradients; with a head of its own, the language model's head gets none."""
        unused: set[int] = set()
        if self.head is not None and self.model is not None:
            unused = {id(p) for p in self.model.parameters()} - {id(p) for p in self.model.base_model.parameters()}
        return sum(p.numel() for p in self.parameters() if p.requires_grad and id(p) not in unused)

    def kept(self) -> dict[str, Tensor]:
        """What prediction needs later: the vectors of prompts without their encoders, head, tuned weights, pool."""
        tensors: dict[str, Tensor] = {}
        if self.prompt is not None:
            tensors["prompt"] = self.prompt().detach().clone()
        if self.head is not None:
            tensors |= {f"head.{name}": value.detach().clone() for name, value in self.head.named_parameters()}
        if self.model is not None:
            tensors |= {f"model.{name}": value.detach().clone() for name, value in self.model.named_parameters()}
        if self.prefix is not None:
            tensors["prefix"] = self.prefix().detach().clone()
        if self.pool is not None:
            tensors |= self.pool.kept()
        if self.selector is not None:
            tensors |= self.selector.kept()
        for name in PLAIN_PARTS:
            if getattr(self, name) is not None:
                tensors[name] = getattr(self, name).detach().clone()
        return tensors


@dataclass
class Member:
    """One (trial or cell) in training. Its generators are named by `identity` alone."""

    identity: str
    space: AnswerSpace
    learning_rate: float | None
    train: Split
    dev: Split
    dev_score: Callable[[Answered], float]  # higher is better
    trainable: Trainable
    group: str = ""  # members of one group share parameters, stop together and keep the same step; "": alone


@dataclass
class Trained:
    """What became of a member: its best state on dev and how it got there."""

    kept: dict[str, Tensor] = field(default_factory=dict)
    best_step: int | None = None
    dev_score: float = float("-inf")
    dev_loss: float = float("inf")
    curve: list[CurvePoint] = field(default_factory=list)
    looks_since_best: int = 0
    steps: int = 0
    failure: str = ""


def stack_masks(spaces: list[AnswerSpace], device: torch.device) -> tuple[Bool[Tensor, "F W"], Bool[Tensor, "F W"]]:
    """`allowed` and `in_loss` of all members, narrower spaces widened with outputs that nobody may give."""
    width = max(len(space.allowed) for space in spaces)

    def stacked(masks: list[Tensor]) -> Tensor:
        return torch.stack([nn.functional.pad(mask, (0, width - len(mask)), value=False) for mask in masks]).to(device)

    return stacked([space.allowed for space in spaces]), stacked([space.in_loss for space in spaces])


def fleet_heads(
    heads: Sequence[nn.Linear], hidden: Float[Tensor, "R H"], member: Int[Tensor, "R"]
) -> Float[Tensor, "R W"]:
    """Logits of every row under its own member's head; heads with fewer classes are padded."""
    width = max(head.out_features for head in heads)
    weight = torch.stack([nn.functional.pad(head.weight, (0, 0, 0, width - head.out_features)) for head in heads])
    bias = torch.stack([nn.functional.pad(head.bias, (0, width - head.out_features)) for head in heads])
    return torch.einsum("rh,rwh->rw", hidden, weight[member]) + bias[member]
