"""Learning to prompt (L2P): every row takes the prompts of a pool whose keys are nearest to it; the backbone frozen.

Wang et al. 2022, "Learning to Prompt for Continual Learning", https://arxiv.org/abs/2112.08654; google-research/l2p,
models/prompt.py and configs/cifar100_l2p.py: M = 10 prompts with a key each; the query is a state of the frozen model
run without prompts; the N prompts whose keys have the highest cosine are put in front; the loss adds minus the sum of
these N cosines, weight 1, which alone moves the keys. Adam, constant learning rate 0.03, gradient norm clipped at 1.

Changed: one task at a time instead of a sequence of them. No vote over the batch, which makes an answer depend on its
company. The query is the state that the answer is read from (mask, last token, decoder's sentinel), where L2P takes an
image's [CLS]; of a sentence whose words are tagged it is that of [CLS] (masked) or of the last token (causal). A
language model answers (a head, where words are tagged), where L2P trains a head on the prompts' mean. Vectors start at
the scale of words and keys as normal vectors, where L2P draws both uniformly. Prompts have 5 vectors, not 10, so that 4
of them leave room for the input. `prompt_length` is the number of vectors in front: N = prompt_length / `vectors_each`,
rounded up, and the last prompt gives its first vectors only.
"""

from typing import ClassVar

from pydantic import Field, NonNegativeFloat, model_validator

from softprompt.config import Positive, TrainedMethodSettings
from softprompt.methods.base import METHODS, Setup
from softprompt.methods.shared.prompts_in_front import PromptInFront
from softprompt.prompts.pool import PromptPool


class PromptPoolTopkSettings(TrainedMethodSettings):
    pool_size: int = Field(ge=2)  # nothing to choose from one
    vectors_each: Positive
    matching_weight: NonNegativeFloat

    @model_validator(mode="after")
    def enough(self) -> "PromptPoolTopkSettings":
        held = self.pool_size * self.vectors_each
        if self.prompt_length is not None and self.prompt_length > held:
            raise ValueError(
                f"prompt_length may be {self.prompt_length}, but pool_size {self.pool_size} times vectors_each "
                f"{self.vectors_each} is {held}; write {held} or less"
            )
        return self


@METHODS.register("prompt_pool_topk")
class PromptPoolTopk(PromptInFront):
    settings_model: ClassVar[type[TrainedMethodSettings]] = PromptPoolTopkSettings
    settings: PromptPoolTopkSettings

    def prompt(self, setup: Setup) -> PromptPool:
        settings = self.settings
        return PromptPool.drawn_with_keys(
            settings.pool_size,
            settings.vectors_each,
            setup.prompt_length,
            setup.backbone,
            setup.generator,
            matching_weight=settings.matching_weight,
        )
