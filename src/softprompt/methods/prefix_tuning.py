"""Prefix tuning: trainable keys and values in front of every attention, made by a small network, the backbone frozen.

Li and Liang 2021, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", https://arxiv.org/abs/2101.00190,
section 4; XiangLi1999/PrefixTuning, gpt2/train_control.py: Embedding(P, D) -> Linear(D, 512) -> tanh ->
Linear(512, 2 x A x H), of which only the P x A x 2 x H outputs are kept; AdamW, learning rate 5e-5 falling linearly,
no weight decay, gradients clipped at 1, 10 vectors for GPT-2. As in its code for BART, an encoder-decoder gets prefixes
in its encoder, in its decoder and where one attends to the other.

Changed: the paper generates texts with causal and encoder-decoder models; here the language model answers with one
word after the task's plain input, on masked backbones at the mask, and `answer: head` puts a classifier instead, for
backbones without a language-model head. Positions go on from P behind the prefix, as in the code, but for T5, which has
none. One network makes the prefixes of all attentions of an encoder-decoder, where the code has three. Prefixes do not
start from words.
"""

from typing import Literal

from softprompt.methods.base import METHODS
from softprompt.methods.shared.deep_prompts import DeepPrompts, DeepPromptSettings


class PrefixTuningSettings(DeepPromptSettings):
    answer: Literal["verbalizer", "head"] = "verbalizer"
    reparametrisation: bool = True


@METHODS.register("prefix_tuning")
class PrefixTuning(DeepPrompts):
    settings_model = PrefixTuningSettings
