"""How many rows pass through the backbone for each member of a fleet: its cost, whatever the machine.

Axes: R rows of a pass, F members.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Passes of rows for one member. An example is as many rows as it has candidates or wordings.

    `forward` are all of them; `backward` those that a gradient came back through; `inference` those that were only
    answered, such as dev at an evaluation. What is neither was tried or asked on the way, as AutoPrompt's candidates.
    """

    forward: int = 0
    backward: int = 0
    inference: int = 0

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(*(first + second for first, second in zip(astuple(self), astuple(other), strict=True)))


class RowCounter:
    """The rows of all members of a fleet, counted on the device, so that nothing waits for it."""

    def __init__(self, members: int, device: torch.device) -> None:
        self._counts = torch.zeros(3, members, dtype=torch.long, device=device)

    def count(self, member: Int[Tensor, "R"], *, passes: int, backward: bool, inference: bool) -> None:
        """Rows of these members, passed forward so many times, the last time also backward, or only to be answered."""
        forward = torch.zeros_like(self._counts[0]).index_add_(0, member, torch.ones_like(member))
        counts = torch.stack([forward * passes, forward * backward, forward * (passes * inference)])
        self._counts = self._counts + counts

    @contextmanager
    def if_it_ends_well(self) -> Iterator[None]:
        """What device memory ran out for within the block counts as nothing: it is done again."""
        before = self._counts
        try:
            yield
        except torch.OutOfMemoryError:
            self._counts = before
            raise

    def rows(self) -> list[Rows]:
        """A member each."""
        return [Rows(*counts) for counts in self._counts.T.tolist()]
