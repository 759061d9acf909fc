"""The steps of all members of a fleet at once, each row of a leaf at its member's own rate: those that PyTorch's and
transformers' optimisers take for every member alone (optimizers.py).

Axes: N rows of a leaf, F members, S steps.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.backbones.size import OWN_BYTES, STATE_BYTES
from softprompt.config import Recipe
from softprompt.device import uploaded
from softprompt.prompts.side_by_side import Stack

Moves = Callable[[Sequence[Tensor]], Sequence[Tensor]]  # from the gradients of leaves to their steps at rate 1


class FleetOptimizer:
    """`rates` are those of every member in each step, `teams` the number of each member's team. Who has stopped moves
    no more: all that is done to a row is multiplied by its rate."""

    state_bytes: ClassVar[int] = STATE_BYTES + OWN_BYTES  # a number: what a lone member has, and the step at rate 1

    def __init__(
        self, stacks: Sequence[Stack], teams: Sequence[int], rates: Float[Tensor, "S F"], recipe: Recipe
    ) -> None:
        self.leaves = [stack.leaf for stack in stacks]
        self.recipe = recipe
        self._rates = rates.to(self.leaves[0])
        owners = torch.tensor([owner for stack in stacks for owner in stack.owners])  # of the rows of all leaves
        self._owners, self._teams = uploaded([owners, torch.tensor(teams)[owners]], self.leaves[0].device)
        self._number_of_teams = 1 + max(teams)
        self._moves: Moves = _Adafactor(stacks) if recipe.optimizer == "adafactor" else _Adam(self.leaves)

    def stop(self, members: Sequence[int]) -> None:
        """These move no more."""
        for member in members:
            self._rates[:, member] = 0.0

    @torch.no_grad()
    def step(self, number: int) -> None:
        """The step of that number, from 1 on, by the gradients that the leaves have."""
        gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in self.leaves]
        if self.recipe.clip_norm is not None:
            self._clip(gradients, self.recipe.clip_norm)
        rates = self._by_row(self._rates[number - 1], self._owners)
        if self.recipe.weight_decay:
            self._decay(gradients, rates)
        for leaf, move, rate in zip(self.leaves, self._moves(gradients), rates, strict=True):
            leaf.addcmul_(move, rate)

    def _decay(self, gradients: Sequence[Tensor], rates: Sequence[Float[Tensor, "N ..."]]) -> None:
        """Of matrices, never of vectors: in the gradient (`adam`) or beside it."""
        for leaf, gradient, rate in zip(self.leaves, gradients, rates, strict=True):
            if leaf.ndim > 2 and self.recipe.optimizer == "adam":
                gradient.add_(leaf, alpha=self.recipe.weight_decay)
            elif leaf.ndim > 2:
                leaf.mul_(1 - self.recipe.weight_decay * rate)

    def _clip(self, gradients: Sequence[Tensor], longest: float) -> None:
        """As nn.utils.clip_grad_norm_ does for every team by itself."""
        norms = torch.cat([_norms(gradient) for gradient in gradients])
        squares = norms.new_zeros(self._number_of_teams).index_add_(0, self._teams, norms.square())
        factors = (longest / (squares.sqrt() + 1e-6)).clamp(max=1.0)  # as PyTorch's
        for gradient, factor in zip(gradients, self._by_row(factors, self._teams), strict=True):
            gradient.mul_(factor)

    def _by_row(self, values: Float[Tensor, "_"], numbers: Tensor) -> list[Float[Tensor, "N ..."]]:
        """Of each row the value of its number, in the shape to be multiplied by the leaf."""
        of_leaves = torch.split(values[numbers], [len(leaf) for leaf in self.leaves])
        return [_shaped(some, leaf) for some, leaf in zip(of_leaves, self.leaves, strict=True)]


class _Adam:
    """PyTorch's own fused step at rate 1 from zero: it depends on gradients alone, so a rate can be a row's. With a
    decay of 1 it begins by taking back the step before."""

    def __init__(self, leaves: Sequence[Tensor]) -> None:
        self._moves = [nn.Parameter(torch.zeros_like(leaf)) for leaf in leaves]
        self._adam = torch.optim.AdamW(self._moves, lr=1.0, weight_decay=1.0, fused=True)

    def __call__(self, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        for move, gradient in zip(self._moves, gradients, strict=True):
            move.grad = gradient
        self._adam.step()
        return self._moves


class _Adafactor:
    """Shazeer and Stern 2018, algorithm 4, with second moments in full, as optimizers.py has it for a lone member. The
    root mean square that clips an update is a row's own, and padding is none of its numbers."""

    def __init__(self, stacks: Sequence[Stack]) -> None:
        self._moments = [torch.zeros_like(stack.leaf) for stack in stacks]
        self._roots = [torch.tensor(stack.sizes).to(stack.leaf).sqrt() for stack in stacks]
        self._steps = 0

    def __call__(self, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        self._steps += 1
        return [self._move(*one) for one in zip(gradients, self._moments, self._roots, strict=True)]

    def _move(self, gradient: Tensor, moment: Tensor, root: Float[Tensor, "N"]) -> Tensor:
        kept = 1 - self._steps**-0.8
        moment.mul_(kept).add_(gradient.square().add_(1e-30), alpha=1 - kept)
        update = moment.rsqrt().mul_(gradient)
        return update.div_(_shaped((_norms(update) / root).clamp_(min=1.0).neg_(), update))


def _norms(rows: Float[Tensor, "N ..."]) -> Float[Tensor, "N"]:
    return torch.linalg.vector_norm(rows.reshape(len(rows), -1), dim=1)


def _shaped(values: Float[Tensor, "N"], like: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
    return values.view(-1, *[1] * (like.ndim - 1))
