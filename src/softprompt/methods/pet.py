"""PET: one model a pattern-verbalizer pair, whose joint soft labels on unlabelled texts teach a classifier.

Schick and Schütze 2021, "Exploiting Cloze Questions for Few-Shot Text Classification and Natural Language Inference",
https://arxiv.org/abs/2001.07676, section 3, and "It's Not Just Size That Matters", https://arxiv.org/abs/2009.07118,
for the pairs of SuperGLUE; timoschick/pet. Every pair trains a copy of the backbone on the labelled rows, cross-entropy
over the words of the labels. The mean of their logits, weighted by each pair's accuracy before training, gives soft
labels at temperature 2; a classifier on all weights of the backbone learns those and is what is kept.

Changed: one model a pair instead of three. The common step budget is divided, half over the pairs and half for the
classifier, instead of 250 steps a model and 5,000 for the classifier. The state of the classifier with the best dev
score is kept, where the original keeps the last. Without unlabelled texts (SuperGLUE), those of train are labelled
anew. Causal and T5 backbones are asked too; causal ones read few of PET's pairs, and get the other manual templates.

Left out: the auxiliary language-model loss, which the runs on SuperGLUE do without; COPA, WSC and ReCoRD, which PET
asks without distillation (here `manual_fine_tuning`).
"""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import PositiveFloat

from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Kind, TrainedMethodSettings
from softprompt.methods.base import METHODS, Setup, TrainedMethod, new_head
from softprompt.results import State
from softprompt.tasks.task import Task, Template
from softprompt.training.loop import FleetCost
from softprompt.training.member import Member, Trainable, Trained
from softprompt.training.patterns import Ensemble, cannot_ask, distil
from softprompt.training.task_data import TaskData


class PetSettings(TrainedMethodSettings):
    temperature: PositiveFloat = 2.0  # of the soft labels


@METHODS.register("pet")
class Pet(TrainedMethod):
    state: ClassVar[State] = "tuned"
    further_code: ClassVar[tuple[str, ...]] = ("training/patterns.py",)
    settings_model = PetSettings
    settings: PetSettings

    def uses_head(self, task: Task) -> bool:
        return task.answer_form == "label" and bool(task.labels)

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:  # noqa: ARG002 - a classifier reads fields
        return (task.head_input(),)

    def inapplicable(self, task: Task, backbone: Backbone) -> str:
        return cannot_ask(task, backbone)

    def trainable(self, setup: Setup) -> Trainable:
        return Trainable(head=new_head(setup), model=setup.backbone.model)

    def train(
        self,
        backbone: Backbone,
        members: Sequence[Member],
        data: Sequence[TaskData],
        budget: Budget,
        inference_tokens: int,
    ) -> tuple[list[Trained], FleetCost]:
        """The pairs, then the classifier; a member with weights of its own is a fleet of one."""
        (member,), (task_data,) = members, data
        ensemble = Ensemble(member, task_data, budget, 1, self.settings.recipe, inference_tokens)
        everyone = range(len(ensemble.pairs))
        votes = ensemble.votes([task_data.train for _ in everyone], generation=0)
        return distil(ensemble, backbone, votes.joint(everyone), self.settings.temperature)
