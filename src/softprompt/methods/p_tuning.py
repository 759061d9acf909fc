"""P-tuning: trainable vectors in slots inside the template, made by a small encoder, the backbone frozen.

Liu et al. 2021, "GPT Understands, Too", https://arxiv.org/abs/2103.10385, sections 3.2 and 4.1; THUDM/P-tuning,
LAMA/p_tuning/prompt_encoder.py and LAMA/cli.py: bidirectional LSTM of two layers (hidden D/2 a direction) and a
two-layer MLP; Adam with L2 weight decay 5e-4, learning rate 1e-5 times 0.98 an epoch; slots (3, subject, 3, object, 3)
for masked and (3, subject, 3, object) for causal backbones. One encoder a task (one a relation in LAMA); only its P x D
output is kept. SuperGLUE templates with their anchors: PT-Fewshot/data_utils/task_pvps.py.

Changed: the slots stand as in the paper, not as in its code, which puts the mask before the subject; causal backbones
are trained on the position that is scored, where the code is off by one. On SuperGLUE the paper trains the backbone
too; here it stays frozen. Biases do not decay.
"""

from softprompt.config import Kind, TrainedMethodSettings
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.soft_prompt import EncoderName, SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.tasks.task import Task, Template


class PTuningSettings(TrainedMethodSettings):
    encoder: EncoderName = "lstm"


@METHODS.register("p_tuning")
class PTuning(TrainedMethod):
    settings_model = PTuningSettings
    settings: PTuningSettings

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return task.templates("p_tuning", kind)[:1]

    def trainable(self, setup: Setup) -> Trainable:
        embeddings = setup.backbone.word_embeddings()
        return Trainable(SoftPrompt.drawn(self.settings.encoder, setup.prompt_length, embeddings, setup.generator))
