"""P-tuning with the backbone trained too, as its paper does on SuperGLUE and FewGLUE.

Liu et al. 2021, "GPT Understands, Too", https://arxiv.org/abs/2103.10385, section 4.2; THUDM/P-tuning, PT-Fewshot
(pet/wrapper.py, data_utils/task_pvps.py): vectors and anchors in the templates of PET, cross-entropy over the words of
the labels; AdamW twice, the backbone at 1e-5 with weight decay 0.1, the prompt's encoder at a searched rate without;
both decay linearly, the gradient of both together is clipped at 1. The LSTM has D hidden numbers a direction, where the
code for LAMA has D/2. Prompt and weights are kept and asked together.

Changed: the length is searched, where the original has as many vectors as its pattern's number says (1, WSC 2). No
warm-up (the original has 150 steps on RTE); COPA is trained and scored as tasks/definitions/copa.yaml says. Training a
prompt and the backbone on LAMA has no row in the paper: there the encoder is the one of its LAMA code, D/2 hidden
numbers a direction.
"""

from typing import ClassVar

from softprompt.config import Kind
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.soft_prompt import AnyEncoder, SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.prompts.tuned_weights import TunedWeights
from softprompt.results import State
from softprompt.tasks.load import LAMA
from softprompt.tasks.task import Task, Template


@METHODS.register("p_tuning_tuned")
class PTuningTuned(TrainedMethod):
    state: ClassVar[State] = "tuned"

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return task.templates("p_tuning", kind)[:1]

    def trainable(self, setup: Setup) -> Trainable:
        embeddings = setup.backbone.word_embeddings()
        encoder: AnyEncoder = "lstm" if setup.task.suite == LAMA else "wide_lstm"
        prompt = SoftPrompt.drawn(encoder, setup.prompt_length, embeddings, setup.generator)
        return Trainable(prompt, TunedWeights(setup.backbone.model))
