"""Multitask prompt tuning (MPT): one shared prompt, scaled for each task by a matrix of low rank, the backbone frozen.

Wang et al. 2023, "Multitask Prompt Tuning Enables Parameter-Efficient Transfer Learning",
https://arxiv.org/abs/2303.02861; parametrisation as in PEFT, tuners/multitask_prompt_tuning/model.py:
prompt_t = P* (Hadamard) (U_t V_t) with P* of P x D, U_t of P x r and V_t of r x D. Two stages: all tasks together, then
each task goes on from what they learnt, with a copy of P* of its own.

Changed: each stage has half of the step budget. The second starts from the first one's best step on dev and the task's
own U_t V_t (PEFT's EXACT_SOURCE_TASK), and the better of both stages on dev is kept. No distillation from prompts that
were trained on one task each: those would be further training, beyond the common budget. PEFT draws U and V
around zero, so that all prompts start near zero; here U_t V_t starts around one and every task's prompt at P*. The
tasks of a suite train together, weighed by `task_weights`, by the recipe of `prompt_tuning`, so that the two differ by
what is shared. The paper knows T5 only; here a head beside the prompt tags words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Positive
from softprompt.errors import UserError
from softprompt.methods.base import METHODS, Setup
from softprompt.methods.shared.tasks_together import TasksTogether, TasksTogetherSettings
from softprompt.prompts.part import copied
from softprompt.prompts.side_by_side import side_by_side
from softprompt.prompts.soft_prompt import SoftPrompt, random_prompt, vocabulary_scale
from softprompt.prompts.trainable import Trainable, restored
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Member, Trained

NOISE = 0.02  # deviation of U and V around their start, without which all ranks would learn the same


class FactoredPrompt(SoftPrompt):
    """P* (Hadamard) (U V), with P* a parameter that other prompts may hold too.

    One that `saves_factors`, from which the second stage starts, saves these rather than their product.
    """

    def __init__(
        self,
        shared: nn.Parameter,
        left: Float[Tensor, "P r"],
        right: Float[Tensor, "r D"],
        *,
        saves_factors: bool = False,
    ) -> None:
        super().__init__(shared.detach(), "identity")
        self.embedding = shared
        self.left = nn.Parameter(left)
        self.right = nn.Parameter(right)
        self.saves_factors = saves_factors

    @classmethod
    def vectors(cls, prompts: Sequence[Self]) -> Float[Tensor, "F P D"]:
        embedding, left, right = (
            side_by_side([getattr(one, name) for one in prompts]) for name in ("embedding", "left", "right")
        )
        return embedding * (left @ right)

    def saved(self) -> dict[str, Tensor]:
        if not self.saves_factors:
            return super().saved()
        return {name: copied(value) for name, value in self.named_parameters()}


class MultitaskPromptMptSettings(TasksTogetherSettings):
    rank: Positive = 1


@METHODS.register("multitask_prompt_mpt")
class MultitaskPromptMpt(TasksTogether):
    settings_model = MultitaskPromptMptSettings
    settings: MultitaskPromptMptSettings

    def shared(self, setup: Setup) -> Tensor:
        """P*, random vectors at the scale of words."""
        embeddings = setup.backbone.word_embeddings()
        return random_prompt(setup.prompt_length, embeddings, vocabulary_scale(embeddings), setup.generator)

    def prompt(self, setup: Setup) -> FactoredPrompt:
        assert setup.shared is not None
        rank, (length, size) = self.settings.rank, setup.shared.shape
        left, right = (
            rank**-0.5 + NOISE * torch.randn(shape, generator=setup.generator, dtype=setup.shared.dtype)
            for shape in ((length, rank), (rank, size))
        )
        return FactoredPrompt(setup.shared, left, right, saves_factors=True)

    def train(self, work: FleetWork) -> list[Trained]:
        """Both stages. Raises UserError where there is no step for each."""
        source, target = divided(work.budget)
        first = train_fleet(replace(work, budget=source))
        going_on = [index for index, trained in enumerate(first) if trained.saved]
        if not going_on:
            return first
        alone = [as_target(work.members[index], first[index].saved, work.backbone) for index in going_on]
        second = train_fleet(replace(work, members=alone, budget=target))
        outcomes = dict(zip(going_on, second, strict=True))
        return [joined(one, outcomes[index]) if index in outcomes else one for index, one in enumerate(first)]


def divided(budget: Budget) -> tuple[Budget, Budget]:
    """The step budget in two halves, the second the longer one where they differ."""
    if budget.steps < 2:
        raise UserError("budgets: steps is 1, but multitask_prompt_mpt has two stages; write at least steps: 2")
    half = budget.steps // 2
    return budget.model_copy(update={"steps": half}), budget.model_copy(update={"steps": budget.steps - half})


def as_target(member: Member, saved: Mapping[str, Tensor], backbone: Backbone) -> Member:
    """The member in the second stage: factors of its own, an order of its own, no group."""
    factors = (saved[f"prompt.{name}"].clone() for name in ("left", "right"))
    prompt = FactoredPrompt(nn.Parameter(saved["prompt.embedding"].clone()), *factors)
    others = restored(beside_prompt(saved), backbone, 0).parts()
    alone = Trainable(prompt, *others).to(backbone.device)
    return replace(member, identity=f"{member.identity}/target", trainable=alone, group="", loss_weight=1.0)


def beside_prompt(saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of what a member has beside its prompt, a head."""
    return {name: value.clone() for name, value in saved.items() if not name.startswith(f"{SoftPrompt.name}.")}


def joined(first: Trained, second: Trained) -> Trained:
    """Both stages as one training, with the better one's state: higher dev score, then lower loss, then the later."""
    later = [point.model_copy(update={"step": point.step + first.steps}) for point in second.curve]
    both = replace(
        second, curve=first.curve + later, steps=first.steps + second.steps, rows=first.rows + second.rows, failure=""
    )
    if (second.dev_score, -second.dev_loss) >= (first.dev_score, -first.dev_loss) and second.best_step is not None:
        return replace(both, best_step=second.best_step + first.steps)
    prompt = first.saved["prompt.embedding"] * (first.saved["prompt.left"] @ first.saved["prompt.right"])
    return replace(
        both,
        saved={"prompt.vectors": prompt, **beside_prompt(first.saved)},
        best_step=first.best_step,
        dev_score=first.dev_score,
        dev_loss=first.dev_loss,
    )
