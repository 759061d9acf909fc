"""P-tuning v2: trainable keys and values in front of every attention and a classification head, the backbone frozen.

Liu et al. 2022, "P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning Universally Across Scales and Tasks",
https://arxiv.org/abs/2110.07602, section 3; THUDM/P-tuning-v2, model/prefix_encoder.py and run_script/: the prefix's
P x A x 2 x H numbers are trained themselves (`reparametrisation: true` makes them by a network, as one of its runs
does), a linear head reads the first token; AdamW, learning rate 5e-3 to 1e-2 falling linearly, gradients clipped at 1.

Changed: the head reads the last hidden state, as that of `fine_tuning` here, where the code reads BERT's frozen pooler;
no dropout on the prefix; the dev split chooses settings and step, where the code takes the best of the validation set
that it reports. Positions go on from P behind the prefix, as in the code. LAMA has no classes: there the language
model answers, as in `prefix_tuning`; `answer: verbalizer` does so on every task.
"""

from typing import Literal

from softprompt.methods.base import METHODS
from softprompt.methods.shared.deep_prompts import DeepPrompts, DeepPromptSettings


class PTuningV2Settings(DeepPromptSettings):
    answer: Literal["verbalizer", "head"] = "head"
    reparametrisation: bool = False


@METHODS.register("p_tuning_v2")
class PTuningV2(DeepPrompts):
    settings_model = PTuningV2Settings
