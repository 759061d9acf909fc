"""All parts of a member, and those of a whole fleet side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.backbones.attention import RowPrefixes
from softprompt.backbones.backbone import Backbone
from softprompt.inputs.batches import Batch
from softprompt.inputs.outputs import Reading
from softprompt.prompts.part import PARTS, FleetPart, Part

AnyPart = TypeVar("AnyPart", bound=Part)


class Trainable(nn.ModuleDict):
    """The parts of a member by name.

    Members of a group may hold the same parameters: these train on the sum of their losses.
    """

    def __init__(self, *parts: Part) -> None:
        super().__init__()
        for part in parts:
            if part.name in self:
                raise ValueError(f"a member cannot have two parts of the name {part.name!r}")
            self.add(part)

    def parts(self) -> Iterator[Part]:
        """In the order in which they were given."""
        return (cast(Part, part) for part in self.values())

    def part(self, kind: type[AnyPart]) -> AnyPart:
        """The part of a class. Raises KeyError where the member has none."""
        return cast(AnyPart, self[kind.name])

    def add(self, part: Part) -> None:
        """One more part, or another one of its kind."""
        self[part.name] = part

    @property
    def positions(self) -> int:
        """How many vectors all parts put among or in front of the input's tokens."""
        return sum(part.positions for part in self.parts())

    @property
    def trained_numbers(self) -> int:
        """How many numbers get gradients."""
        return sum(part.trained_numbers for part in self.parts())

    def saved(self) -> dict[str, Tensor]:
        """What prediction needs later, by part and name: `prompt.vectors`, `head.weight`."""
        return {f"{part.name}.{name}": tensor for part in self.parts() for name, tensor in part.saved().items()}

    def applied_to(self, backbone: Backbone) -> Backbone:
        """The backbone that the member runs on."""
        for part in self.parts():
            backbone = part.applied_to(backbone)
        return backbone


def restored(saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Trainable:
    """The inverse of `Trainable.saved`: parts that give what training left. `positions` is theirs."""
    by_part: dict[str, dict[str, Tensor]] = {}
    for name, tensor in saved.items():
        part, _, own_name = name.partition(".")
        by_part.setdefault(part, {})[own_name] = tensor
    return Trainable(*(PARTS[part].restored(tensors, backbone, positions) for part, tensors in by_part.items()))


@dataclass(frozen=True)
class FleetParts(FleetPart):
    """The parts of all members of a fleet by name, acting one after the other; none where nothing is put in."""

    by_name: Mapping[str, FleetPart] = field(default_factory=dict)

    @property
    def further_passes(self) -> int:
        return sum(part.further_passes for part in self.by_name.values())

    def inserted(
        self, embeddings: Float[Tensor, "R T D"], backbone: Backbone, batch: Batch
    ) -> tuple[Float[Tensor, "R T D"], Float[Tensor, "E"] | None]:
        total = None
        for part in self.by_name.values():
            embeddings, extra = part.inserted(embeddings, backbone, batch)
            total = extra if total is None else total if extra is None else total + extra
        return embeddings, total

    def prefixes(self, batch: Batch) -> RowPrefixes | None:
        return next((there for part in self.by_name.values() if (there := part.prefixes(batch)) is not None), None)

    def outputs(self, hidden: Float[Tensor, "M H"], member: Int[Tensor, "M"]) -> Float[Tensor, "M W"] | None:
        answers = (part.outputs(hidden, member) for part in self.by_name.values())
        return next((logits for logits in answers if logits is not None), None)

    def rescored(self, logits: Float[Tensor, "M W"], member: Int[Tensor, "M"]) -> Float[Tensor, "M W"]:
        for part in self.by_name.values():
            logits = part.rescored(logits, member)
        return logits

    def combined(self, reading: Reading) -> Reading:
        for part in self.by_name.values():
            reading = part.combined(reading)
        return reading


def gather(trainables: Sequence[Trainable]) -> FleetParts:
    """The parts of members of one method, with the graph that leads back to their parameters."""
    names = dict.fromkeys(name for trainable in trainables for name in trainable)
    members = [dict(trainable.items()) for trainable in trainables]
    return FleetParts({name: PARTS[name].gathered([parts.get(name) for parts in members]) for name in names})  # type: ignore[misc]
