"""What a member trains."""

from typing import TYPE_CHECKING

from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.prompts.pool import PromptPool
from softprompt.prompts.prefix import PrefixEncoder
from softprompt.prompts.selector import Selector
from softprompt.prompts.soft_prompt import PromptEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


PLAIN_PARTS = ("mixture", "tokens", "label_words", "bias")  # of a Trainable, kept as they are


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
