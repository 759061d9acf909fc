"""Multi-task prompt: tasks share a pool of prompts, and each learns to mix its own prompt from it, row by row.

A pool of entries p_1 ... p_k; task t selects by S_t(x) = softmax(W_t E(x) + b_t), where E(x) is the mean of the input's
word embeddings; p_t*(x) = sum_i S_ti(x) p_i stands in front of the input; all tasks together train sum_t alpha_t L_t on
a frozen backbone. After Asai et al. 2022, "ATTEMPT: Parameter-Efficient Multi-task Tuning via Attentional Mixtures of
Soft Prompts", https://arxiv.org/abs/2205.11961.

Changed: ATTEMPT's pool holds prompts trained on source tasks, beside one of the target task, and a small network
attends to them; here the pool starts at random and the selector is linear. An entry is a block of P vectors, so that
the length can be searched as elsewhere (P = 1 is the formula above). alpha_t is 1, or what `task_weights`
says. E(x) averages all tokens of the row but prompt, padding and answer. The tasks of a suite train together, whatever
the form of their answers; a head beside the selector tags words. The recipe is that of `prompt_tuning`, so that the two
differ by what is shared.
"""

from torch import Tensor

from softprompt.config import Positive
from softprompt.methods.base import METHODS, Setup
from softprompt.methods.shared.tasks_together import TasksTogether, TasksTogetherSettings
from softprompt.prompts.selector import Selector
from softprompt.prompts.soft_prompt import random_prompt, vocabulary_scale


class MultitaskPromptSettings(TasksTogetherSettings):
    pool_size: Positive = 8  # entries that the tasks share


@METHODS.register("multitask_prompt")
class MultitaskPrompt(TasksTogether):
    settings_model = MultitaskPromptSettings
    settings: MultitaskPromptSettings

    def shared(self, setup: Setup) -> Tensor:
        """The pool (k, P, D), so large that the mean of its entries is at the scale of words."""
        entries, embeddings = self.settings.pool_size, setup.backbone.word_embeddings()
        scale = vocabulary_scale(embeddings) * entries**0.5
        vectors = random_prompt(entries * setup.prompt_length, embeddings, scale, setup.generator)
        return vectors.view(entries, setup.prompt_length, -1)

    def prompt(self, setup: Setup) -> Selector:
        assert setup.shared is not None
        return Selector.drawn(setup.shared, setup.generator)
