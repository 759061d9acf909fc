"""What the members of a fleet add to a pass through the backbone, gathered alike in training and in answering.

Axes: F members, P prompt vectors, D word-embedding size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from softprompt.training.member import Trainable
from softprompt.training.prompts import PromptEncoder, fleet_prompts
from softprompt.training.selectors import Selector, restored_selector


@dataclass(frozen=True)
class Parts:
    """Parts of all members in their order; None where the method has none of the kind."""

    prompts: Float[Tensor, "F P D"] | None = None
    heads: Sequence[nn.Linear] | None = None
    selectors: Sequence[Selector] | None = None


def gather(trainables: Sequence[Trainable]) -> Parts:
    """The parts of members of one method, with the graph that leads back to their parameters."""
    prompts = [trainable.prompt for trainable in trainables if trainable.prompt is not None]
    heads = [trainable.head for trainable in trainables if trainable.head is not None]
    selectors = [trainable.selector for trainable in trainables if trainable.selector is not None]
    return Parts(prompts=fleet_prompts(prompts) if prompts else None, heads=heads or None, selectors=selectors or None)


def restored(kept: Mapping[str, Tensor]) -> Trainable:
    """The inverse of `Trainable.kept`, but for a backbone's weights: parts that give what training left."""
    prompt = PromptEncoder(kept["prompt"], "identity") if "prompt" in kept else None
    head = _restored_head(kept) if "head.weight" in kept else None
    return Trainable(prompt=prompt, head=head, selector=restored_selector(kept))


def _restored_head(kept: Mapping[str, Tensor]) -> nn.Linear:
    outputs, hidden = kept["head.weight"].shape
    head = nn.Linear(hidden, outputs, device=kept["head.weight"].device)
    head.load_state_dict({"weight": kept["head.weight"], "bias": kept["head.bias"]})
    return head
