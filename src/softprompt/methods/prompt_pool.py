"""Prompt pool, mixed by attention: vectors of every row's own, made of k trained ones; the backbone frozen.

With inputs x, their mean word embedding E(x), a pool P of k vectors p_i: q = tanh(W E(x) + b), a = softmax(q P^T),
p* = sum_i a_i p_i, and the backbone reads [p*; x]. P, W and b are trained together by the task's loss. In the manner of
ATTEMPT (Asai et al. 2022, https://arxiv.org/abs/2205.11961), which mixes prompts trained on other tasks beforehand.

Changed: nothing is trained beforehand and no target prompt is added; attention has no temperature and no layer
normalisation. A prompt of several vectors has a pool for each of them under one query. `prompt_length` is the number
of vectors in front of the input, `pool_size` is k. No paper trained this form, so no trial is a paper's.
"""

from typing import ClassVar

from pydantic import Field

from softprompt.config import TrainedMethodSettings
from softprompt.methods.base import METHODS, Setup
from softprompt.methods.shared.prompts_in_front import PromptInFront
from softprompt.prompts.pool import PromptPool


class PromptPoolSettings(TrainedMethodSettings):
    pool_size: int = Field(ge=2)  # nothing to choose from one


@METHODS.register("prompt_pool")
class PromptPoolMethod(PromptInFront):
    settings_model: ClassVar[type[TrainedMethodSettings]] = PromptPoolSettings
    settings: PromptPoolSettings

    def prompt(self, setup: Setup) -> PromptPool:
        embeddings = setup.backbone.word_embeddings()
        return PromptPool.drawn_with_query(self.settings.pool_size, setup.prompt_length, embeddings, setup.generator)
