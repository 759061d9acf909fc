"""AutoPrompt: a trigger of words found by following the gradient, the backbone frozen.

Shin et al. 2020, "AutoPrompt: Eliciting Knowledge from Language Models with Automatically Generated Prompts",
https://arxiv.org/abs/2010.15980; ucinlp/autoprompt, autoprompt/create_trigger.py and label_search.py. Template
`{sub} [T] ... [T] [P] .`; every trigger token starts as [MASK]; a round takes the tokens with the highest
-(E . gradient) at a random position (HotFlip) and keeps the best on a fresh batch; the trigger that is best on dev is
kept: on facts the one of the lowest loss, where there are labels that of the best score. The filter is that of
`--filter`: special tokens, answers of train (or the labels' words) and words with a capital letter never stand in a
trigger. For labels, words are searched first.

Changed: everything happens within the common budget, where each pass of a batch is a step, so there are few rounds; a
gradient comes from one batch and so does a comparison. No trigger with a [MASK] in it may be the result. The code for
LAMA sees to that by taking any candidate in place of a trigger that has one, better or not (`--print-lama`). Its 1,000
rounds reach every position, the few here would not, so the first gradient puts the most promising word into all of
them. A comparison is by loss, which for labels is by accuracy there: 8 rows tell few accuracies apart. The filter takes
single letters too, and capitals inside a word of byte-level vocabularies. The present token is no candidate. Backbones
without a [MASK] start from "the", as Wallace et al. 2019 (https://arxiv.org/abs/1908.07125) do. The trigger stands
before the answer in every task, where the paper puts that of NLI between the sentences, behind the mask. The loss of a
label runs over the labels' words, as everywhere in this suite, not over the whole vocabulary. Label words are fitted on
all rows at once.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Kind, Positive, TrainedMethodSettings
from softprompt.errors import UserError
from softprompt.inputs.batches import shuffled_rows
from softprompt.inputs.encoding import first_token
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import METHODS, Setup, TrainedMethod
from softprompt.prompts.label_words import LabelWords
from softprompt.prompts.token_prompt import TokenPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.seeding import torch_generator
from softprompt.tasks.task import Task, Template
from softprompt.training.label_word_search import find_label_words
from softprompt.training.loop import FleetWork
from softprompt.training.member import Member, Trained
from softprompt.training.triggers import FIRST_WORDS, LEAST_ROUND, TriggerSearch

LABEL_SEARCH_SHARE = 5  # one in so many steps of the budget goes into the search for label words, at least one
LEAST_STEPS = 1 + FIRST_WORDS + LEAST_ROUND


class AutoPromptSettings(TrainedMethodSettings):
    candidates: Positive = 10  # tokens tried in a round
    label_words: Literal["searched", "task"] = "searched"
    words_per_label: Positive = 3

    @property
    def descends(self) -> bool:
        return False


@METHODS.register("autoprompt")
class AutoPrompt(TrainedMethod):
    settings_model = AutoPromptSettings
    settings: AutoPromptSettings

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return tuple(
            template.model_copy(
                update={"id": "trigger", "text": template.text.replace("{mask}", "{prompt} {mask}.", 1)}
            )
            for template in task.templates("plain", kind)
        )

    def trainable(self, setup: Setup) -> Trainable:
        backbone = setup.backbone
        masked = backbone.kind == "masked"
        start = int(backbone.tokenizer.mask_token_id) if masked else first_token(backbone, "the")
        return Trainable(TokenPrompt.of(torch.full((setup.prompt_length,), start), backbone))

    def train(self, work: FleetWork) -> list[Trained]:
        """Search label words where a task has labels, then triggers, both within the budget's steps."""
        if work.budget.steps < LEAST_STEPS:
            raise UserError(
                f"autoprompt needs at least {LEAST_STEPS} steps a member, the budget has {work.budget.steps}; "
                "raise its `steps` in params.yaml"
            )
        pairs = zip(work.members, work.data, strict=True)
        before = [self._choose_label_words(work.backbone, *pair, work.budget) for pair in pairs]
        return TriggerSearch(work, self.settings.candidates, before).run()

    def _choose_label_words(self, backbone: Backbone, member: Member, data: TaskData, budget: Budget) -> Trained:
        """The steps and rows it took."""
        outputs = [data.label_space.output_of(label) for label in data.task.labels]
        if self.settings.label_words == "task" or member.space.form != "label" or not outputs:
            return Trained()
        batches = list(label_search_batches(member, budget))
        labels = [output for output in outputs if output is not None]
        found, rows = find_label_words(backbone, member, labels, batches, self.settings.words_per_label)
        member.trainable.add(LabelWords(found.to(backbone.device)))
        return Trained(steps=len(batches), rows=rows)


def label_search_batches(member: Member, budget: Budget) -> Iterable[Int[Tensor, "B"]]:
    """Batches of train for the search of label words: a fifth of the steps at most, and no example in vain."""
    once = -(-len(member.train) // budget.batch_size)
    order = shuffled_rows(len(member.train), budget.batch_size, torch_generator(member.identity, "label words"))
    return islice(order, min(once, max(1, budget.steps // LABEL_SEARCH_SHARE)))
