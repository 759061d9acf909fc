"""P-tuning with the subject at the start of the template: (subject, slots, object, slots). LAMA only.

A variant of P-tuning (Liu et al. 2021, https://arxiv.org/abs/2103.10385), whose vectors in front move the subject away
from where most sentences that state a fact have it.

Changed: the template alone. Everything else is as in `p_tuning`.
"""

from softprompt.config import Kind, TrainedMethodSettings
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.soft_prompt import EncoderName, SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.tasks.task import Task, Template


class SubjectFirstSettings(TrainedMethodSettings):
    encoder: EncoderName = "lstm"


@METHODS.register("p_tuning_subject_first")
class PTuningSubjectFirst(TrainedMethod):
    settings_model = SubjectFirstSettings
    settings: SubjectFirstSettings

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return tuple(one for one in task.templates("p_tuning", kind) if one.text.startswith("{subject}"))

    def trainable(self, setup: Setup) -> Trainable:
        embeddings = setup.backbone.word_embeddings()
        return Trainable(SoftPrompt.drawn(self.settings.encoder, setup.prompt_length, embeddings, setup.generator))
