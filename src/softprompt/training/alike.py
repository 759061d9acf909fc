"""Members of a run that are read alike, and so share passes over the backbone."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.dropout import row_streams
from softprompt.backbones.memory import tokens_to_train
from softprompt.inputs.batches import Batch, Pool, runs
from softprompt.inputs.outputs import Predictions, Reading
from softprompt.prompts.head import Head
from softprompt.prompts.trainable import FleetParts, gather
from softprompt.training.fitting import PassSize
from softprompt.training.fleet import Fleet
from softprompt.training.member import Member


class Alike:
    """`places` maps a member's number in the run to its number among those that are read alike. Passes with gradients
    leave room for `reserved` bytes that are still to be taken."""

    def __init__(self, backbone: Backbone, members: Sequence[Member], numbers: Sequence[int], reserved: float) -> None:
        self.members = [members[number] for number in numbers]
        self.places = {number: place for place, number in enumerate(numbers)}
        self.numbers = torch.tensor(numbers, device=backbone.device)
        weights = [member.loss_weight for member in self.members]
        self.weights = torch.tensor(weights, dtype=torch.float64, device=backbone.device)
        self.fleet = Fleet(backbone, [member.space for member in self.members])
        self.train_pool = Pool([member.train for member in self.members], backbone.device)
        self.dev_pool = Pool([member.dev for member in self.members], backbone.device)
        longest = int(self.train_pool.lengths.max())
        self.most_tokens = tokens_to_train(backbone.model, longest, self.train_pool.answer_width, reserved)

    def of(self, numbers: Sequence[int]) -> list[int]:
        """Those of some members of the run that are read alike."""
        return [number for number in numbers if number in self.places]

    def batches(
        self,
        numbers: Sequence[int],
        drawn: Sequence[Int[Tensor, "E"]],
        noise: Int[Tensor, "F"] | None,
        size: PassSize,
    ) -> Iterator[tuple[slice, Batch, Int[Tensor, "R"] | None]]:
        """Each of some members' train examples, `drawn` by number, in one batch, or several where there is less room:
        which of all the examples, their rows, and the streams that these drop out by. `noise` has the streams of all
        members of the run, where the backbone drops out."""
        places = torch.tensor([self.places[number] for number in numbers])
        member, number = places.repeat_interleave(torch.tensor([len(some) for some in drawn])), torch.cat(list(drawn))
        batch = self.train_pool.batch(member, number)
        streams = None if noise is None else row_streams(noise[self.numbers], batch.member)
        rows, width = batch.ids.shape
        bound = rows if self.most_tokens is None else min(rows, self.most_tokens // width)
        most_rows = size.of(bound)
        if most_rows == rows:
            yield slice(0, len(member)), batch, streams
            return
        for examples, some in runs(self.train_pool.rows_of(member, number), most_rows):
            yield examples, batch.part(examples, some), None if streams is None else streams[some]

    def read(self, batch: Batch, streams: Int[Tensor, "R"] | None) -> Reading:
        """One of these batches."""
        return self.fleet.read(batch, self._parts(), streams)

    def predict(self, numbers: Sequence[int], inference_tokens: int) -> dict[int, Predictions]:
        """What some members answer to dev."""
        if not numbers:
            return {}
        places = [self.places[number] for number in numbers]
        answered = self.fleet.predict(self.dev_pool, places, self._parts(), inference_tokens)
        return dict(zip(numbers, answered, strict=True))

    def _parts(self) -> FleetParts:
        return gather([member.trainable for member in self.members])


def read_alike(backbone: Backbone, members: Sequence[Member], reserved: float) -> list[Alike]:
    """All members, by the form of their answers and by whether a head or the language model gives them."""
    kinds: dict[tuple[str, bool], list[int]] = {}
    for number, member in enumerate(members):
        kinds.setdefault((member.space.form, Head.name in member.trainable), []).append(number)
    return [Alike(backbone, members, numbers, reserved) for numbers in kinds.values()]
