"""Control: P-tuning on a backbone of the same architecture with random weights.

What it reaches, a prompt can learn from the training facts alone (OptiPrompt's random-model control; Zhong et al. 2021,
"Factual Probing Is [MASK]", section 4); only what goes beyond was in the pretrained backbone.
"""

from softprompt.backbones.backbone import Backbone
from softprompt.config import Kind, TrainedMethodSettings
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.soft_prompt import EncoderName, SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.seeding import stream_seed
from softprompt.tasks.task import Task, Template


class RandomBackboneSettings(TrainedMethodSettings):
    encoder: EncoderName = "lstm"


@METHODS.register("random_backbone")
class RandomBackbone(TrainedMethod):
    settings_model = RandomBackboneSettings
    settings: RandomBackboneSettings

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return task.templates("p_tuning", kind)[:1]

    def prepared_backbone(self, backbone: Backbone) -> Backbone:
        return backbone.randomly_initialised(stream_seed(backbone.revision, "random backbone"))

    def trainable(self, setup: Setup) -> Trainable:
        embeddings = setup.backbone.word_embeddings()
        return Trainable(SoftPrompt.drawn(self.settings.encoder, setup.prompt_length, embeddings, setup.generator))
