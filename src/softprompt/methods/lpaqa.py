"""LPAQA: an ensemble of mined and paraphrased prompts, their weights learnt, the backbone frozen.

Jiang et al. 2020, "How Can We Know What Language Models Know?", https://arxiv.org/abs/1911.12543; jzbjyb/LPAQA. The
score of an object is the weighted sum of its log-probabilities under the prompts of its relation: the one that is best
on train (top1), all alike (average), or weights learnt on train as a softmax over the prompts (weighted).

Changed: mined and paraphrased prompts and the manual one form one ensemble, where the paper also shows each family
alone. Average takes all of them, not the few best. No dependency-based prompts. The generated world's prompts are mined
from its pretraining text and paraphrased by rules, not by back-translation (data/mining.py, data/paraphrases.py). The
learning rate is searched, since the paper names none, and no paper setting is tried first.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from softprompt.config import Kind, TrainedMethodSettings
from softprompt.inputs.batches import Pool, Split
from softprompt.inputs.outputs import Predictions
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.mixture import Mixture
from softprompt.prompts.trainable import FleetParts, Trainable, gather
from softprompt.tasks.task import Task, Template
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork, curve_point, keep_best
from softprompt.training.member import Member, Trained
from softprompt.training.rows import Rows

FAMILIES = ("lpaqa-mine", "lpaqa-paraphrase")


class LpaqaSettings(TrainedMethodSettings):
    unsearchable: ClassVar[tuple[str, ...]] = ("ensemble",)
    ensemble: Literal["top1", "average", "weighted"] = "weighted"
    prompts_per_family: Annotated[int, Field(ge=1, le=40)] = 10

    @property
    def descends(self) -> bool:
        return self.ensemble == "weighted"


@METHODS.register("lpaqa")
class Lpaqa(TrainedMethod):
    settings_model = LpaqaSettings
    settings: LpaqaSettings

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        """One template that stands for the whole ensemble, or none."""
        prompts = self._prompts(task, kind)
        if not prompts:
            return ()
        manual = [template.text for template in task.templates("manual", kind)[:1]]
        first, *others = different([*manual, *(prompt.text for prompt in prompts)])
        return (Template(id="lpaqa", text=first, source="LPAQA", kinds=(kind,), others=tuple(others)),)

    def inapplicable_by_kind(self, task: Task, backbone: str, kind: Kind) -> str:
        if not self._prompts(task, kind):
            return f"{task.key} has no mined or paraphrased prompts that a {kind} backbone can be asked"
        return super().inapplicable_by_kind(task, backbone, kind)

    def trainable(self, setup: Setup) -> Trainable:
        (template,) = self.templates(setup.task, setup.backbone.kind)
        alike = torch.zeros(len(template.wordings), dtype=torch.promote_types(setup.backbone.model.dtype, torch.float))
        return Trainable(Mixture(alike, trains=self.settings.descends))

    def train(self, work: FleetWork) -> list[Trained]:
        """The common loop, or without a gradient one evaluation on train and dev, counted as the batches of train."""
        if self.settings.descends:
            return super().train(work)
        members = work.members
        trained = [Trained(steps=-(-len(member.train) // work.budget.batch_size)) for member in members]
        if self.settings.ensemble == "top1":
            for one, member, own in zip(trained, members, work.data, strict=True):
                template = self.templates(own.task, work.backbone.kind)[0]
                one.rows = choose_best_on_train(member, template, own, work.inference_tokens)
        fleet = Fleet(work.backbone, [member.space for member in members])
        on_train = _predictions(work, fleet, [member.train for member in members])
        on_dev = _predictions(work, fleet, [member.dev for member in members])
        for one, member, learnt, predictions, rows in zip(
            trained, members, on_train, on_dev, fleet.rows(), strict=True
        ):
            one.rows += rows
            one.curve.append(curve_point(member, one.steps, float(learnt.loss.mean()), predictions))
            keep_best([member], [one], one.steps, work.budget.patience)
        return trained

    def _prompts(self, task: Task, kind: Kind) -> list[Template]:
        """The best of each family that suits the kind of backbone."""
        suited = [prompt for prompt in task.discrete if kind in prompt.kinds]
        families = [[prompt for prompt in suited if prompt.id.startswith(family)] for family in FAMILIES]
        return [prompt for family in families for prompt in family[: self.settings.prompts_per_family]]


def different(texts: Sequence[str]) -> list[str]:
    """Without those that an earlier one equals but for blanks."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault("".join(text.split()), text)
    return list(found.values())


def choose_best_on_train(member: Member, template: Template, data: TaskData, inference_tokens: int) -> Rows:
    """All weight on the wording that answers most train facts, of equals the one with the lower loss; the rows that it
    took to find it."""
    wordings = [template.model_copy(update={"text": text, "others": ()}) for text in template.wordings]
    splits = [data.split("train", wording, 0) for wording in wordings]
    fleet = Fleet(data.backbone, [member.space] * len(splits))
    outcomes = fleet.predict(Pool(splits, data.backbone.device), range(len(splits)), FleetParts(), inference_tokens)
    right = [int((one.prediction == split.target[:, 0]).sum()) for one, split in zip(outcomes, splits, strict=True)]
    best = max(range(len(wordings)), key=lambda index: (right[index], -float(outcomes[index].loss.mean())))
    logits = member.trainable.part(Mixture).logits
    logits.data = one_hot_logits(len(wordings), best, logits)
    return sum(fleet.rows(), Rows())


def one_hot_logits(length: int, chosen: int, like: Tensor) -> Tensor:
    """Logits whose softmax is one for the chosen entry and zero for all others."""
    logits = like.new_full((length,), torch.finfo(like.dtype).min)
    logits[chosen] = 0.0
    return logits


def _predictions(work: FleetWork, fleet: Fleet, splits: Sequence[Split]) -> list[Predictions]:
    parts = gather([member.trainable for member in work.members])
    return fleet.predict(Pool(splits, work.backbone.device), range(len(splits)), parts, work.inference_tokens)
