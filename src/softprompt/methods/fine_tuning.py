"""Fine-tuning: all weights of the backbone train, no prompt.

SuperGLUE and FewGLUE: a new linear head on the first token (masked) or the last one (causal), as in Devlin et al. 2019,
https://arxiv.org/abs/1810.04805, section 4. LAMA: the language model itself learns to continue `subject [MASK]`, the FT
row of P-tuning (Liu et al. 2021, https://arxiv.org/abs/2103.10385, table 1).

Changed: the same head for every backbone, without a pooler; both segments have token type 0. The recipe is one for all
tasks, where LAMA's published row has Adam with L2 decay and a rate that falls by the epoch.
"""

from typing import ClassVar

from softprompt.config import Kind
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.head import Head
from softprompt.prompts.trainable import Trainable
from softprompt.prompts.tuned_weights import TunedWeights
from softprompt.results import State
from softprompt.tasks.task import Task, Template


@METHODS.register("fine_tuning")
class FineTuning(TrainedMethod):
    state: ClassVar[State] = "tuned"

    def uses_head(self, task: Task) -> bool:
        return bool(task.labels) or task.answer_form == "candidates"

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return (task.head_input(),) if self.uses_head(task) else task.templates("plain", kind)

    def trainable(self, setup: Setup) -> Trainable:
        if not self.uses_head(setup.task):
            return Trainable(TunedWeights(setup.backbone.model))
        head = Head.drawn(setup.task, setup.backbone, setup.generator)
        return Trainable(head, TunedWeights(setup.backbone.model, reads_words=False))
