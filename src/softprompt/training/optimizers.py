"""Optimisers and schedules by name, with parameter groups of their own for every member."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from softprompt.config import Recipe
from softprompt.training.member import Member


def build_optimizer(members: Sequence[Member], recipe: Recipe) -> Optimizer:
    """Every member's parameters under its own learning rate, a tuned backbone under its own where there is one.

    `adam` adds weight decay to the gradient (L2), `adamw` to the step; biases and normalisation never decay.
    What members share belongs to the first of them.
    """
    taken: set[int] = set()
    groups = [group for member in members for group in _groups(member, recipe, taken)]
    if recipe.optimizer == "adafactor":
        return _adafactor(groups)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, fused=True)


def _adafactor(groups: list[dict[str, Any]]) -> Optimizer:
    """Adafactor as prompts are trained with it: second moments in full, never factored into rows and columns.

    google-research/prompt-tuning, train/optim.py (`rules["prompt"] = FactorDim.NONE`); t5x factors nothing below 128.
    """
    from transformers.optimization import Adafactor  # a slow import that few runs need

    class Unfactored(Adafactor):  # type: ignore[misc] # transformers has no types here
        @staticmethod
        def _get_options(param_group: dict[str, Any], param_shape: tuple[int, ...]) -> tuple[bool, bool]:  # noqa: ARG004
            return False, param_group["beta1"] is not None

    return Unfactored(groups, lr=1.0, decay_rate=-0.8, scale_parameter=False, relative_step=False)


def build_schedule(
    optimizer: Optimizer, members: Sequence[Member], recipe: Recipe, steps: int, batch_size: int
) -> LambdaLR:
    """Factors of the learning rate after each step.

    An epoch is as many steps as the member's own train split has batches.
    """
    groups = len(optimizer.param_groups) // len(members)
    factors = [_factor(len(member.train) / batch_size, recipe, steps) for member in members for _ in range(groups)]
    return LambdaLR(optimizer, factors)


def clip_norm(parameters: Sequence[nn.Parameter], longest: float) -> None:
    """As nn.utils.clip_grad_norm_, which would shorten twice what two parameters have in common: the gradients of an
    LSTM's two biases may be one tensor."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    factor = (longest / (nn.utils.get_total_norm(gradients) + 1e-6)).clamp(max=1.0)  # as PyTorch's
    for gradient in {gradient.data_ptr(): gradient for gradient in gradients}.values():
        gradient.mul_(factor)


def separate_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """One of its own for each: what two have in common would be added to twice by the next pass."""
    seen: set[int] = set()
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.data_ptr() in seen:
            parameter.grad = parameter.grad.clone()
        elif parameter.grad is not None:
            seen.add(parameter.grad.data_ptr())


def _groups(member: Member, recipe: Recipe, taken: set[int]) -> list[dict[str, Any]]:
    """`taken`: ids of parameters that have a group already."""
    everything = [(part, parameter) for part in member.trainable.parts() for parameter in part.parameters()]
    trained = [(part, one) for part, one in everything if one.requires_grad and id(one) not in taken]
    taken.update(id(parameter) for _, parameter in trained)
    if member.backbone_learning_rate is None:
        return _by_decay([parameter for _, parameter in trained], member.learning_rate, recipe.weight_decay)
    own = [parameter for part, parameter in trained if not part.from_backbone]
    of_backbone = [parameter for part, parameter in trained if part.from_backbone]
    return _by_decay(own, member.learning_rate, recipe.weight_decay) + _by_decay(
        of_backbone, member.backbone_learning_rate, recipe.backbone_weight_decay or 0.0
    )


def _by_decay(
    parameters: Sequence[nn.Parameter], learning_rate: float | None, weight_decay: float
) -> list[dict[str, Any]]:
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [
        {"params": matrices, "lr": learning_rate, "weight_decay": weight_decay},
        {"params": vectors, "lr": learning_rate, "weight_decay": 0.0},
    ]


def _factor(steps_per_epoch: float, recipe: Recipe, steps: int) -> Callable[[int], float]:
    def exponential(step: int) -> float:
        return recipe.gamma ** int(step / steps_per_epoch)

    def linear(step: int) -> float:
        return max(0.0, 1.0 - step / steps)

    def constant(step: int) -> float:  # noqa: ARG001 - the schedules share a signature
        return 1.0

    return {"exponential": exponential, "linear": linear, "constant": constant}[recipe.schedule]
