"""The optimisers of recipes: a fleet's against those of PyTorch and transformers, run on each member apart."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.optimization import Adafactor

from softprompt.config import Budget, Recipe
from softprompt.inputs.batches import Split, one_row_each
from softprompt.inputs.encoding import Encoded
from softprompt.prompts.part import Part
from softprompt.prompts.side_by_side import side_by_side, stacked
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.training.fleet_optimizer import FleetOptimizer
from softprompt.training.loop import teams_of
from softprompt.training.member import Member
from softprompt.training.optimizers import LoneOptimizer, build_optimizer, clip_norm

DECAY = 1e-2
BUDGET = Budget(trials=2, steps=7, batch_size=4, eval_every=7, patience=1)
STOPS = {1: 4}  # the member in the middle, after so many steps
RATES, LENGTHS, EXAMPLES = (0.1, 0.03, 0.2), (2, 4, 3), (8, 13, 5)
RECIPES = {
    "adam": Recipe(optimizer="adam", weight_decay=DECAY, schedule="exponential", gamma=0.7),
    "adamw": Recipe(optimizer="adamw", weight_decay=DECAY, schedule="linear", clip_norm=0.8),
    "adafactor": Recipe(optimizer="adafactor", weight_decay=DECAY),
    "adafactor, clipped": Recipe(optimizer="adafactor", clip_norm=0.8),
}


class Numbers(Part):
    """Parameters of every number of axes."""

    name = "numbers"

    def __init__(self, length: int, common: nn.Parameter | None = None) -> None:
        super().__init__()
        shapes = {"single": (), "vector": (length,), "matrix": (length, 3), "block": (2, length, 3)}
        for number, (name, shape) in enumerate(shapes.items()):
            self.register_parameter(name, nn.Parameter(drawn(number, *shape)))
        if common is not None:
            self.common = common


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def split(examples: int) -> Split:
    ids = torch.zeros(examples, 1, dtype=torch.long)
    return one_row_each(Encoded(ids, ids, ids[:, 0], ids, ids), ids[:, 0])


def member_of(trainable: Trainable, learning_rate: float, examples: int = 4, group: str = "") -> Member:
    nothing: Any = None
    return Member("one", nothing, learning_rate, split(examples), nothing, nothing, trainable, group=group)


def members() -> list[Member]:
    settings = zip(RATES, LENGTHS, EXAMPLES, strict=True)
    return [member_of(Trainable(Numbers(length)), rate, examples) for rate, length, examples in settings]


def gradients_of(number: int, step: int, member: Member) -> dict[str, Tensor]:
    named = member.trainable.named_parameters()
    return {name: drawn(100 * number + 10 * step + n, *one.shape) for n, (name, one) in enumerate(named)}


def descend(fleet: list[Member], recipe: Recipe) -> list[dict[str, Tensor]]:
    """Where the parameters of each end whose losses have the gradients above, for as long as it trains."""
    with stacked([member.trainable for member in fleet]) as stacks:
        optimizer = build_optimizer(fleet, stacks, teams_of(fleet), recipe, BUDGET)
        assert isinstance(optimizer, FleetOptimizer)
        for step in range(1, BUDGET.steps + 1):
            for leaf in optimizer.leaves:
                leaf.grad = None
            for number, member in enumerate(fleet):
                own = gradients_of(number, step, member)
                if step <= STOPS.get(number, step):
                    for name, gradient in own.items():
                        everyone = side_by_side([dict(one.trainable.named_parameters())[name] for one in fleet])
                        row = everyone[(number, *map(slice, gradient.shape))]
                        (row * gradient).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step(step)
            optimizer.stop([number for number, last in STOPS.items() if step == last])
    return [{name: one.detach().clone() for name, one in member.trainable.named_parameters()} for member in fleet]


def factor(recipe: Recipe, step: int, examples: int) -> float:
    """Of the rate in a step from 1 on, as the schedules are written."""
    if recipe.schedule == "linear":
        return 1 - (step - 1) / BUDGET.steps
    return recipe.gamma ** ((step - 1) * BUDGET.batch_size // examples) if recipe.schedule == "exponential" else 1.0


def alone(member: Member, number: int, recipe: Recipe) -> dict[str, Tensor]:
    """By the libraries, which never factor the moments of a vector."""
    numbers = {name: nn.Parameter(one.detach().flatten()) for name, one in member.trainable.named_parameters()}
    decays = {
        name: DECAY if recipe.weight_decay and one.ndim > 1 else 0.0
        for name, one in member.trainable.named_parameters()
    }
    groups = [{"params": [one], "weight_decay": decays[name]} for name, one in numbers.items()]
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "adafactor": lambda groups: Adafactor(groups, lr=1.0, scale_parameter=False, relative_step=False),
    }
    optimizer = kinds[recipe.optimizer](groups)
    for step in range(1, STOPS.get(number, BUDGET.steps) + 1):
        for name, gradient in gradients_of(number, step, member).items():
            numbers[name].grad = gradient.flatten()
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(list(numbers.values()), recipe.clip_norm)
        assert member.learning_rate is not None
        for group in optimizer.param_groups:
            group["lr"] = member.learning_rate * factor(recipe, step, EXAMPLES[number])
        optimizer.step()
    return {name: one.detach() for name, one in numbers.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_a_fleet_steps_as_the_libraries_do_for_every_member(name: str) -> None:
    expected = [alone(member, number, RECIPES[name]) for number, member in enumerate(members())]
    for found, own in zip(descend(members(), RECIPES[name]), expected, strict=True):
        assert found.keys() == own.keys()
        for key in own:
            torch.testing.assert_close(found[key].flatten(), own[key], rtol=0, atol=1e-13, msg=key)


@pytest.mark.parametrize("name", RECIPES)
def test_a_lone_member_steps_as_the_libraries_do(name: str) -> None:
    member, recipe = members()[0], RECIPES[name]
    expected = alone(member, 0, recipe)
    optimizer = build_optimizer([member], [], [[0]], recipe, BUDGET)
    assert isinstance(optimizer, LoneOptimizer)
    for step in range(1, BUDGET.steps + 1):
        for key, gradient in gradients_of(0, step, member).items():
            dict(member.trainable.named_parameters())[key].grad = gradient
        optimizer.step(step)
    for key, parameter in member.trainable.named_parameters():
        torch.testing.assert_close(parameter.detach().flatten(), expected[key], rtol=0, atol=1e-13, msg=key)


def test_a_team_is_clipped_as_one_and_steps_at_the_rate_of_its_first() -> None:
    """Plain descent shows it: Adafactor's first step is the sign of the gradient, clipped to a mean square of 1."""
    common = [nn.Parameter(drawn(seed, 3)) for seed in (50, 51)]
    fleet = [
        member_of(Trainable(Numbers(2, common[number // 2])), 0.1 * (1 + number), group=str(number // 2))
        for number in range(4)
    ]
    with ExitStack() as training:
        stacks = training.enter_context(stacked([member.trainable for member in fleet]))
        optimizer = build_optimizer(
            fleet, stacks, teams_of(fleet), Recipe(optimizer="adafactor", clip_norm=1.0), BUDGET
        )
        before = [one.detach().clone() for one in common]
        everyone = side_by_side([member.trainable["numbers"].common for member in fleet])
        own = side_by_side([member.trainable["numbers"].matrix for member in fleet])
        weights = torch.tensor([3.0, -4.0, 5.0], dtype=torch.double)
        ((everyone * weights).sum() + own.sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step(1)
        leaf = next(leaf for leaf in optimizer.leaves if leaf.shape == (2, 3))
        assert leaf.grad is not None
        norm = (((2 * weights) ** 2).sum() + 2 * 6) ** 0.5  # each matrix has 6 numbers
        torch.testing.assert_close(leaf.grad, (2 * weights / (norm + 1e-6)).expand(2, 3))
        for was, one, rate in zip(before, common, (0.1, 0.3), strict=True):
            torch.testing.assert_close(was - one.detach(), rate * weights.sign())


def adafactor(start: Tensor, gradients: list[Tensor], learning_rate: float) -> Tensor:
    """Shazeer and Stern 2018, algorithm 4, with the whole second moment: V = b V + (1 - b) G², U = G / sqrt(V)."""
    values, moment = start.clone(), torch.zeros_like(start)
    for step, gradient in enumerate(gradients, start=1):
        keep = 1 - step**-0.8
        moment = keep * moment + (1 - keep) * (gradient**2 + 1e-30)
        update = gradient / moment.sqrt()
        update /= max(1.0, float(update.square().mean().sqrt()))
        values = values - learning_rate * DECAY * values - learning_rate * update
    return values


@pytest.mark.parametrize("learning_rate", [0.3, 0.01])
def test_adafactor_keeps_second_moments_in_full(learning_rate: float) -> None:
    start, gradients = drawn(0, 5, 7), [drawn(seed, 5, 7) for seed in range(1, 5)]
    member = member_of(Trainable(SoftPrompt(start, "identity")), learning_rate)
    recipe = Recipe(optimizer="adafactor", weight_decay=DECAY)
    optimizer = build_optimizer([member], [], [[0]], recipe, BUDGET)
    (parameter,) = member.trainable.parameters()
    for step, gradient in enumerate(gradients, start=1):
        parameter.grad = gradient.clone()
        optimizer.step(step)
    torch.testing.assert_close(parameter.detach(), adafactor(start, gradients, learning_rate))


def test_clipping_is_that_of_pytorch_and_shortens_a_shared_gradient_once() -> None:
    generator = torch.Generator().manual_seed(1)
    gradients = [torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator)]
    for longest in (0.5, 1e6):
        ours, theirs = ([nn.Parameter(torch.zeros_like(one)) for one in (*gradients, gradients[1])] for _ in range(2))
        for mine, other, gradient in zip(ours, theirs, (*gradients, gradients[1]), strict=True):
            mine.grad, other.grad = gradient.view_as(gradient), gradient.clone()
        assert ours[1].grad is not None
        assert ours[2].grad is not None
        assert ours[1].grad.data_ptr() == ours[2].grad.data_ptr()
        clip_norm([*ours, nn.Parameter(torch.zeros(1))], longest)
        nn.utils.clip_grad_norm_(theirs, longest)
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.grad is not None
            torch.testing.assert_close(mine.grad, other.grad)
