"""Methods that show a backbone solved examples in front of the question and train nothing."""

from typing import Any, ClassVar

import torch

from softprompt.config import Kind, MethodSettings, Positive
from softprompt.methods.base import Method, Setup
from softprompt.prompts.bias import Bias
from softprompt.prompts.token_prompt import TokenPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.tasks.task import Task, Template
from softprompt.training.demonstrations import content_free_bias, fitting_tokens, solved


class SolvedExamplesSettings(MethodSettings):
    examples: Positive = 8
    separator: str = "\n"  # after each example; a blank at its end stands before the next text


class SolvedExamples(Method):
    """`calibrated` says whether answers are divided by those to questions without content."""

    calibrated: ClassVar[bool] = False
    learns_from = ("train",)
    settings_model = SolvedExamplesSettings
    settings: SolvedExamplesSettings

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        glue = " " if self.settings.separator.endswith(" ") else ""
        return tuple(
            template.model_copy(update={"id": f"examples+{template.id}", "text": f"{{prompt}}{glue}{template.text}"})
            for template in task.templates("manual", kind)[:1]
        )

    def inapplicable_by_kind(self, task: Task, backbone: str, kind: Kind) -> str:
        if kind == "masked":
            return f"a masked backbone such as {backbone} does not go on from examples as a language model does"
        if self.calibrated and task.answer_form != "label":
            return f"calibration is of answers that are one word; those of {task.key} are texts"
        return super().inapplicable_by_kind(task, backbone, kind)

    def met_settings(self, parts: Trainable) -> dict[str, Any]:
        return {**super().met_settings(parts), "examples_shown": parts.part(TokenPrompt).texts}

    def trainable(self, setup: Setup) -> Trainable:
        backbone, task, data, settings = setup.backbone, setup.task, setup.data, self.settings
        if data is None:
            raise ValueError(f"examples of {task.key} come from its train split, which was not given")
        (template,) = self.templates(task, backbone.kind)
        order = torch.randperm(len(data.train), generator=setup.generator).tolist()
        texts = solved(task, task.templates("manual", backbone.kind)[0].text, data.train.iloc[order])
        room = data.max_tokens - data.tokens(template, 0)
        tokens, count = fitting_tokens(backbone, texts, settings.separator, settings.examples, room)
        shown = Trainable(TokenPrompt.of(tokens, backbone, texts=count))
        if self.calibrated:
            shown.add(Bias(content_free_bias(data, template, shown)))
        return shown
