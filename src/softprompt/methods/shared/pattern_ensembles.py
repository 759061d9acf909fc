"""Methods whose ensemble of pattern-verbalizer pairs teaches a classifier on all weights of the backbone."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import PositiveFloat

from softprompt.backbones.backbone import Backbone
from softprompt.config import Kind, TrainedMethodSettings
from softprompt.methods.base import Setup, TrainedMethod
from softprompt.prompts.head import Head
from softprompt.prompts.trainable import Trainable
from softprompt.prompts.tuned_weights import TunedWeights
from softprompt.results import State
from softprompt.tasks.task import Task, Template
from softprompt.training.patterns import cannot_distil


class PatternEnsembleSettings(TrainedMethodSettings):
    temperature: PositiveFloat = 2.0  # of the classifier's soft labels


class PatternEnsemble(TrainedMethod):
    """Subclasses train the ensemble and distil it. A member, having weights of its own, is a fleet of one."""

    state: ClassVar[State] = "tuned"

    def uses_head(self, task: Task) -> bool:
        return task.answer_form == "label" and bool(task.labels)

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:  # noqa: ARG002 - a classifier reads fields
        return (task.head_input(),)

    def further_texts(self, task: Task, kind: Kind) -> Sequence[str]:
        return [pair.model_dump_json() for pair in task.pairs(kind)]

    def inapplicable_by_kind(self, task: Task, backbone: str, kind: Kind) -> str:  # noqa: ARG002 - decided by the task
        if not task.labels:
            return f"{task.key} has no labels that a classifier could learn to give"
        if task.answer_form != "label":
            return f"PET asks {task.name} without distilling a classifier, which is manual_fine_tuning"
        return ""

    def inapplicable_by_model(self, task: Task, backbone: Backbone) -> str:
        return cannot_distil(task, backbone)

    def trainable(self, setup: Setup) -> Trainable:
        head = Head.drawn(setup.task, setup.backbone, setup.generator)
        return Trainable(head, TunedWeights(setup.backbone.model, reads_words=False))
