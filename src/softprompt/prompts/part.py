"""A part: one kind of thing that a member trains or searches. One class says everything about it.

Axes: R rows of a batch, T tokens, D word-embedding size, M tokens that are read, H hidden size, W outputs, E examples,
F members.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.backbones.attention import RowPrefixes
from softprompt.backbones.backbone import Backbone
from softprompt.errors import UserError
from softprompt.inputs.batches import Batch
from softprompt.inputs.outputs import Reading
from softprompt.prompts.adapter import Adapter
from softprompt.registry import Registry
from softprompt.tasks.task import Template

PARTS: Registry["Part"] = Registry("part")


def copied(tensor: Tensor) -> Tensor:
    """Apart from the graph and in main memory: a device has better use for its own than states that wait."""
    return tensor.detach().to("cpu", copy=True)


class FleetPart:
    """The parts of one kind of all members of a fleet, as they act in a pass through the backbone.

    Rows say by number whose part they use. A kind overrides the hooks at which it acts; the others change nothing.
    `further_passes` is how often `inserted` sends every row through the backbone beforehand.
    """

    @property
    def further_passes(self) -> int:
        return 0

    def inserted(
        self,
        embeddings: Float[Tensor, "R T D"],
        backbone: Backbone,  # noqa: ARG002 - hooks that change nothing
        batch: Batch,  # noqa: ARG002
    ) -> tuple[Float[Tensor, "R T D"], Float[Tensor, "E"] | None]:
        """Embeddings with the parts' vectors in their slots, and what that adds to the training loss of examples."""
        return embeddings, None

    def prefixes(self, batch: Batch) -> RowPrefixes | None:  # noqa: ARG002
        """Keys and values to be joined to every attention."""
        return None

    def outputs(
        self,
        hidden: Float[Tensor, "M H"],  # noqa: ARG002
        member: Int[Tensor, "M"],  # noqa: ARG002
    ) -> Float[Tensor, "M W"] | None:
        """Logits that stand in for those of the language model."""
        return None

    def rescored(self, logits: Float[Tensor, "M W"], member: Int[Tensor, "M"]) -> Float[Tensor, "M W"]:  # noqa: ARG002
        """Other logits in place of some of them."""
        return logits

    def combined(self, reading: Reading) -> Reading:
        """One reading an example, where an example has several."""
        return reading


class Part(nn.Module):
    """One member's part of one kind; its name among the member's parts is the one it is registered by.

    A subclass has a constructor or `drawn`, which makes a fresh part from a generator, and says below what is saved of
    it, how it is restored, and how it acts in a fleet.
    """

    name: ClassVar[str]
    from_backbone: ClassVar[bool] = False  # it begins as the backbone's own weights, and trains at their rate

    @property
    def positions(self) -> int:
        """How many vectors it puts among or in front of the input's tokens, where each takes a position."""
        return 0

    @property
    def trained_numbers(self) -> int:
        """How many numbers get gradients."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    def saved(self) -> dict[str, Tensor]:
        """What prediction needs later, by name: copies of all parameters and buffers, unless a kind needs less."""
        return {name: copied(tensor) for name, tensor in self.state_dict().items()}

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:
        """The inverse of `saved`, for cells that answer: a part that gives what training left."""
        raise NotImplementedError

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:  # noqa: ARG003 - a kind that acts at no hook
        """The parts of all members in their order, with the graph that leads back to their parameters, which
        `side_by_side` puts in one tensor each. None stands for a member without one, which few kinds allow."""
        return FleetPart()

    def applied_to(self, backbone: Backbone) -> Backbone:
        """The backbone that the member runs on."""
        return backbone

    def word_like_vectors(self) -> dict[str, Float[Tensor, "D"]]:
        """Vectors that stand where words stand, by the name that reports give them."""
        return {}

    def adapter(self, backbone: Backbone, template: Template) -> Adapter:  # noqa: ARG002 - most kinds have no form
        """The part as PEFT holds it. Raises UserError that says why it cannot."""
        raise UserError(f"PEFT has no adapter for what it keeps ({self.name})")
