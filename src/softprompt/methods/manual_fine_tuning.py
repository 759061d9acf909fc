"""Manual prompt with fine-tuning (MP+FT): the task's standard template, all weights of the backbone train.

P-tuning (Liu et al. 2021, https://arxiv.org/abs/2103.10385, table 1) for LAMA; for SuperGLUE the single-pattern case of
PET (Schick and Schütze 2021, https://arxiv.org/abs/2001.07676), whose loss runs over the verbalizer's words.

Changed: the published P-tuning code saves the prompt encoder but not the tuned model; here the model is kept.
The recipe is that of `fine_tuning`, on LAMA too.
"""

from typing import ClassVar

from softprompt.config import Kind
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.trainable import Trainable
from softprompt.prompts.tuned_weights import TunedWeights
from softprompt.results import State
from softprompt.tasks.task import Task, Template


@METHODS.register("manual_fine_tuning")
class ManualFineTuning(TrainedMethod):
    state: ClassVar[State] = "tuned"

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return task.templates("manual", kind)[:1]

    def trainable(self, setup: Setup) -> Trainable:
        return Trainable(TunedWeights(setup.backbone.model))
