"""Optimisers and schedules by name: a lone member's parameters under those of PyTorch and transformers, a fleet's under
their like, which steps for all members at once."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from softprompt.backbones.size import STATE_BYTES
from softprompt.config import Budget, Recipe
from softprompt.prompts.side_by_side import Stack
from softprompt.training.fleet_optimizer import FleetOptimizer
from softprompt.training.member import Member


def build_optimizer(
    members: Sequence[Member],
    stacks: Sequence[Stack],
    teams: Sequence[Sequence[int]],
    recipe: Recipe,
    budget: Budget,
) -> "FleetOptimizer | LoneOptimizer":
    """Every member under its own learning rate; what members share is under that of the first of them.

    `adam` adds weight decay to the gradient (L2), the others to the step; biases and normalisation never decay.
    """
    factors = [_factor(len(member.train) / budget.batch_size, recipe, budget.steps) for member in members]
    if not stacks:
        (member,), (factor,) = members, factors
        return LoneOptimizer(member, recipe, factor)
    rates = torch.tensor([one.learning_rate for one in members], dtype=torch.float64)
    by_step = [[factor(step) for factor in factors] for step in range(budget.steps)]
    rates = rates * rates.new_tensor(by_step)  # (S, F)
    team_of = {index: number for number, team in enumerate(teams) for index in team}
    return FleetOptimizer(stacks, [team_of[index] for index in range(len(members))], rates, recipe)


class LoneOptimizer:
    """One member, a tuned backbone under a rate of its own where there is one."""

    state_bytes: ClassVar[int] = STATE_BYTES

    def __init__(self, member: Member, recipe: Recipe, factor: Callable[[int], float]) -> None:
        self.leaves = [parameter for parameter in member.trainable.parameters() if parameter.requires_grad]
        self.recipe, self.factor = recipe, factor
        self.optimizer = _torch_optimizer(_groups(member, recipe), recipe)

    def stop(self, members: Sequence[int]) -> None:
        """Nothing is left that would move."""

    def step(self, number: int) -> None:
        """The step of that number, from 1 on."""
        if self.recipe.clip_norm is not None:
            clip_norm(self.leaves, self.recipe.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * self.factor(number - 1)
        self.optimizer.step()


def _torch_optimizer(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adafactor":
        return _adafactor(groups)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, fused=True)


def _adafactor(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Adafactor as prompts are trained with it: second moments in full, never factored into rows and columns.

    google-research/prompt-tuning, train/optim.py (`rules["prompt"] = FactorDim.NONE`); t5x factors nothing below 128.
    """
    from transformers.optimization import Adafactor  # a slow import that few runs need

    class Unfactored(Adafactor):  # type: ignore[misc] # transformers has no types here
        @staticmethod
        def _get_options(param_group: dict[str, Any], param_shape: tuple[int, ...]) -> tuple[bool, bool]:  # noqa: ARG004
            return False, param_group["beta1"] is not None

    return Unfactored(groups, lr=1.0, decay_rate=-0.8, scale_parameter=False, relative_step=False)


def clip_norm(parameters: Sequence[Tensor], longest: float) -> None:
    """As nn.utils.clip_grad_norm_, which would shorten twice what two parameters have in common: the gradients of an
    LSTM's two biases may be one tensor."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    factor = (longest / (nn.utils.get_total_norm(gradients) + 1e-6)).clamp(max=1.0)  # as PyTorch's
    for gradient in {gradient.data_ptr(): gradient for gradient in gradients}.values():
        gradient.mul_(factor)


def separate_gradients(parameters: Sequence[Tensor]) -> None:
    """One of its own for each: what two have in common would be added to twice by the next pass."""
    seen: set[int] = set()
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.data_ptr() in seen:
            parameter.grad = parameter.grad.clone()
        elif parameter.grad is not None:
            seen.add(parameter.grad.data_ptr())


def _groups(member: Member, recipe: Recipe) -> list[dict[str, Any]]:
    parts = [(part, one) for part in member.trainable.parts() for one in part.parameters() if one.requires_grad]
    if member.backbone_learning_rate is None:
        return _by_decay([one for _, one in parts], member.learning_rate, recipe.weight_decay)
    own = [one for part, one in parts if not part.from_backbone]
    of_backbone = [one for part, one in parts if part.from_backbone]
    return _by_decay(own, member.learning_rate, recipe.weight_decay) + _by_decay(
        of_backbone, member.backbone_learning_rate, recipe.backbone_weight_decay or 0.0
    )


def _by_decay(
    parameters: Sequence[nn.Parameter], learning_rate: float | None, weight_decay: float
) -> list[dict[str, Any]]:
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [
        {"params": matrices, "rate": learning_rate, "weight_decay": weight_decay},
        {"params": vectors, "rate": learning_rate, "weight_decay": 0.0},
    ]


def _factor(steps_per_epoch: float, recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Of the learning rate after so many steps. An epoch is as many as the member's own train split has batches."""

    def exponential(step: int) -> float:
        return recipe.gamma ** int(step / steps_per_epoch)

    def linear(step: int) -> float:
        return max(0.0, 1.0 - step / steps)

    def constant(step: int) -> float:  # noqa: ARG001 - the schedules share a signature
        return 1.0

    return {"exponential": exponential, "linear": linear, "constant": constant}[recipe.schedule]
