"""P-tuning without an encoder: the vectors in the slots are trained themselves.

The ablation of P-tuning's LSTM (Liu et al. 2021, https://arxiv.org/abs/2103.10385), beside it in one table; in form
OptiPrompt with another template (Zhong et al. 2021, https://arxiv.org/abs/2104.05240).

Changed: no encoder. Everything else is as in `p_tuning`.
"""

from softprompt.config import Kind
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.tasks.task import Task, Template


@METHODS.register("p_tuning_plain")
class PTuningPlain(TrainedMethod):
    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return task.templates("p_tuning", kind)[:1]

    def trainable(self, setup: Setup) -> Trainable:
        embeddings = setup.backbone.word_embeddings()
        return Trainable(SoftPrompt.drawn("identity", setup.prompt_length, embeddings, setup.generator))
