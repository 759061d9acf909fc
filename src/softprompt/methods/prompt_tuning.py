"""Prompt tuning: P free vectors in front of the input, the backbone frozen.

Lester, Al-Rfou and Constant 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning",
https://arxiv.org/abs/2104.08691; google-research/prompt-tuning, configs/models/t5_1_1_prompt.gin and
configs/runs/prompt_finetune.gin: Adafactor without parameter scaling, constant learning rate 0.3, weight decay 1e-5,
100 vectors. As there, Adafactor's second moments are kept in full.

T5 is asked as there: no sentinel, the answer is what its decoder begins with. Training is against the whole vocabulary,
on every kind of backbone; only label words can be predicted. A blank in a text (LAMA, ReCoRD) has its sentinel, as the
paper gives one to models that know span corruption alone.

Changed: the paper knows T5 only. Here masked backbones answer at the mask and causal ones after the input, in one word
each, without the end of the text that the paper's targets have. The vectors stand behind [CLS], so that a head can
still read the true first token; where every word is tagged, a head trains beside them. The loss has no term that keeps
the softmax's normaliser small (z-loss, 1e-4 there). No vector starts from a single character or from BERT's [unused...]
entries, which stand before the common words of its vocabularies. The paper trains 30,000 steps of 32 rows: the budget
`lester` of profiles/paper.yaml.
"""

import re
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.config import Kind, TrainedMethodSettings
from softprompt.inputs.encoding import first_token
from softprompt.inputs.outputs import LossOver
from softprompt.methods.base import METHODS, Setup
from softprompt.methods.shared.prompts_in_front import PromptInFront
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.tasks.task import Task, Template

COMMON_WORDS = 5000  # section 3.2: initial vectors are sampled from the 5,000 commonest tokens
UNUSED = re.compile(r"\[unused\d+\]")  # places of BERT's vocabularies that no text has trained


class PromptTuningSettings(TrainedMethodSettings):
    initialisation: Literal["random", "vocabulary", "labels"] = "vocabulary"


@METHODS.register("prompt_tuning")
class PromptTuning(PromptInFront):
    settings_model = PromptTuningSettings
    settings: PromptTuningSettings
    loss_over: ClassVar[LossOver] = "vocabulary"

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        asked = super().templates(task, kind)
        return tuple(one.without_blank() for one in asked) if kind == "seq2seq" and task.labels else asked

    def prompt(self, setup: Setup) -> SoftPrompt:
        return SoftPrompt(self._initial(setup), "identity")

    def _initial(self, setup: Setup) -> Float[Tensor, "P D"]:
        embeddings = setup.backbone.word_embeddings()
        if self.settings.initialisation == "random":
            uniform = torch.rand(setup.prompt_length, embeddings.shape[1], generator=setup.generator)
            return (uniform - 0.5).to(embeddings.dtype)  # section 3.2: uniform in [-0.5, 0.5]
        tokens = common_tokens(setup)[: setup.prompt_length]
        if self.settings.initialisation == "labels":
            labels = [first_token(setup.backbone, word) for word in setup.task.verbalizer.values()]
            tokens = torch.cat([torch.tensor(labels, dtype=torch.long), tokens])[: setup.prompt_length]
        return embeddings[tokens]


def common_tokens(setup: Setup) -> Tensor:
    """The commonest words and parts of words in random order, repeated where the prompt is longer.

    Ids run from common to rare in vocabularies built by merging (WordPiece, BPE) and by SentencePiece, except that
    single characters of all scripts stand first, however rare; these and the untrained ones are passed over.
    """
    tokenizer = setup.backbone.tokenizer
    special, tokens = set(tokenizer.all_special_ids), tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    common = [i for i, token in enumerate(tokens) if i not in special and is_word(token)][:COMMON_WORDS]
    ordinary = torch.tensor(common or [i for i in range(len(tokens)) if i not in special])
    order = torch.randperm(len(ordinary), generator=setup.generator)
    repeats = -(-setup.prompt_length // len(order))
    return ordinary[order].repeat(repeats)


def is_word(token: str) -> bool:
    """Whether a vocabulary's entry is more than one character, without the marks of a word's begin or continuation."""
    return len(token.lstrip("#\u2581\u0120")) > 1 and not UNUSED.fullmatch(token)
