"""P-tuning v2: trainable keys and values in front of every attention and a classification head, the backbone frozen.

Liu et al. 2022, "P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning Universally Across Scales and Tasks",
https://arxiv.org/abs/2110.07602, section 3; THUDM/P-tuning-v2, model/prefix_encoder.py and run_script/: the prefix's
P x A x 2 x H numbers are trained themselves (`reparametrisation: true` makes them by a network, as one of its runs
does), a linear head reads the first token; AdamW, learning rate 5e-3 to 1e-2 falling linearly, gradients clipped at 1.

Changed: the head reads the last hidden state, as that of `fine_tuning` here, where the code reads BERT's frozen pooler;
no dropout on the prefix; tokens keep their positions, which the original moves on by P; the dev split chooses settings
and step, where the code takes the best of the validation set that it reports. LAMA has no classes: there the language
model answers, as in `prefix_tuning`; `answer: verbalizer` does so on every task.
"""

from typing import ClassVar, Literal

from softprompt.backbones.backbone import Backbone
from softprompt.config import Kind, TrainedMethodSettings
from softprompt.methods.base import METHODS, Setup, TrainedMethod, new_head
from softprompt.tasks.task import Task, Template
from softprompt.training.member import Trainable
from softprompt.training.prefixes import cannot_join, new_prefix


class PTuningV2Settings(TrainedMethodSettings):
    answer: Literal["head", "verbalizer"] = "head"
    reparametrisation: bool = False


@METHODS.register("p_tuning_v2")
class PTuningV2(TrainedMethod):
    takes_positions: ClassVar[bool] = False
    settings_model = PTuningV2Settings
    settings: PTuningV2Settings

    def uses_head(self, task: Task) -> bool:
        return self.settings.answer == "head" and (bool(task.labels) or task.answer_form == "candidates")

    def inapplicable(self, task: Task, backbone: Backbone) -> str:
        return super().inapplicable(task, backbone) or cannot_join(backbone)

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return (task.head_input(),) if self.uses_head(task) else task.templates("plain", kind)

    def trainable(self, setup: Setup) -> Trainable:
        prefix = new_prefix(
            setup.prompt_length, setup.backbone, setup.generator, reparametrised=self.settings.reparametrisation
        )
        return Trainable(prefix=prefix, head=new_head(setup) if self.uses_head(setup.task) else None)
