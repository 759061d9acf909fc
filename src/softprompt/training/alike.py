"""Members of a run that are read alike, and so share one pass over the backbone."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.inputs.batches import Pool
from softprompt.inputs.outputs import Predictions, Reading
from softprompt.prompts.head import Head
from softprompt.prompts.trainable import FleetParts, gather
from softprompt.training.fleet import Fleet
from softprompt.training.member import Member


class Alike:
    """`places` maps a member's number in the run to its number among those that are read alike."""

    def __init__(self, backbone: Backbone, members: Sequence[Member], numbers: Sequence[int]) -> None:
        self.members = [members[number] for number in numbers]
        self.places = {number: place for place, number in enumerate(numbers)}
        self.numbers = torch.tensor(numbers, device=backbone.device)
        weights = [member.loss_weight for member in self.members]
        self.weights = torch.tensor(weights, dtype=torch.float64, device=backbone.device)
        self.fleet = Fleet(backbone, [member.space for member in self.members])
        self.train_pool = Pool([member.train for member in self.members], backbone.device)
        self.dev_pool = Pool([member.dev for member in self.members], backbone.device)

    def of(self, numbers: Sequence[int]) -> list[int]:
        """Those of some members of the run that are read alike."""
        return [number for number in numbers if number in self.places]

    def read(self, numbers: Sequence[int], rows: Sequence[Int[Tensor, "E"]], noise: Int[Tensor, "F"] | None) -> Reading:
        """Each of some members' train examples, `rows` by number, in one batch. `noise` has the streams of all members
        of the run, where the backbone drops out."""
        own = None if noise is None else noise[self.numbers]
        places = torch.tensor([self.places[number] for number in numbers])
        member = places.repeat_interleave(torch.tensor([len(some) for some in rows]))
        return self.fleet.read(self.train_pool.batch(member, torch.cat(list(rows))), self._parts(), own)

    def predict(self, numbers: Sequence[int], inference_tokens: int) -> dict[int, Predictions]:
        """What some members answer to dev."""
        if not numbers:
            return {}
        places = [self.places[number] for number in numbers]
        answered = self.fleet.predict(self.dev_pool, places, self._parts(), inference_tokens)
        return dict(zip(numbers, answered, strict=True))

    def _parts(self) -> FleetParts:
        return gather([member.trainable for member in self.members])


def read_alike(backbone: Backbone, members: Sequence[Member]) -> list[Alike]:
    """All members, by the form of their answers and by whether a head or the language model gives them."""
    kinds: dict[tuple[str, bool], list[int]] = {}
    for number, member in enumerate(members):
        kinds.setdefault((member.space.form, Head.name in member.trainable), []).append(number)
    return [Alike(backbone, members, numbers) for numbers in kinds.values()]
