"""Control: a prompt of random vectors in P-tuning's slots, as large as word embeddings, never trained."""

from softprompt.config import Kind, MethodSettings, Positive
from softprompt.methods.base import METHODS, Method, Setup
from softprompt.prompts.soft_prompt import SoftPrompt, random_prompt, vocabulary_scale
from softprompt.prompts.trainable import Trainable
from softprompt.tasks.task import Task, Template


class RandomPromptSettings(MethodSettings):
    prompt_length: Positive


@METHODS.register("random_prompt")
class RandomPrompt(Method):
    settings_model = RandomPromptSettings
    settings: RandomPromptSettings

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return task.templates("p_tuning", kind)[:1]

    def trainable(self, setup: Setup) -> Trainable:
        embeddings = setup.backbone.word_embeddings()
        initial = random_prompt(self.settings.prompt_length, embeddings, vocabulary_scale(embeddings), setup.generator)
        return Trainable(SoftPrompt(initial, "identity"))
