"""Optimisers and schedules by name, with one parameter group a member."""

from collections.abc import Callable, Sequence

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from softprompt.config import Recipe
from softprompt.training.member import Member


def build_optimizer(members: Sequence[Member], recipe: Recipe) -> Optimizer:
    """Every member's parameters under its own learning rate. `adam` adds weight decay to the gradient (L2), `adamw` to the step."""
    groups = [
        {"params": [p for p in member.trainable.parameters() if p.requires_grad], "lr": member.learning_rate}
        for member in members
    ]
    if recipe.optimizer == "adafactor":
        from transformers.optimization import Adafactor  # a slow import that few runs need

        return Adafactor(
            groups,
            lr=1.0,
            decay_rate=-0.8,
            weight_decay=recipe.weight_decay,
            scale_parameter=False,
            relative_step=False,
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, weight_decay=recipe.weight_decay, fused=True)


def build_schedule(
    optimizer: Optimizer, members: Sequence[Member], recipe: Recipe, steps: int, batch_size: int
) -> LambdaLR:
    """Factors of the learning rate after each step. An epoch is as many steps as the member's own train split has batches."""
    return LambdaLR(optimizer, [_factor(len(member.train) / batch_size, recipe, steps) for member in members])


def _factor(steps_per_epoch: float, recipe: Recipe, steps: int) -> Callable[[int], float]:
    def exponential(step: int) -> float:
        return recipe.gamma ** int(step / steps_per_epoch)

    def linear(step: int) -> float:
        return max(0.0, 1.0 - step / steps)

    def constant(step: int) -> float:  # noqa: ARG001 - the schedules share a signature
        return 1.0

    return {"exponential": exponential, "linear": linear, "constant": constant}[recipe.schedule]
