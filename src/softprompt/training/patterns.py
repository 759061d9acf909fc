"""An ensemble of models that answer through pattern-verbalizer pairs (PET), and a classifier that learns what it says.

Schick and Schütze 2021, https://arxiv.org/abs/2001.07676, section 3; timoschick/pet, pet/modeling.py.
Axes: K models, N texts, C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.errors import UserError
from softprompt.inputs.batches import Pool, Split
from softprompt.inputs.encoding import single_token
from softprompt.inputs.label_space import LabelSpace, keep_answerable, label_space_of, verbalizer_tokens
from softprompt.inputs.task_data import encode_split
from softprompt.prompts.trainable import FleetParts, Trainable
from softprompt.prompts.tuned_weights import TunedWeights
from softprompt.seeding import torch_generator
from softprompt.tasks.task import Pattern, Task
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Member, Trained
from softprompt.training.rows import Rows

WEIGHING_ROWS = 256  # labelled rows on which a pair is weighed: all of a few-shot set, the first ones of a large one


def cannot_distil(task: Task, backbone: Backbone) -> str:
    """Why the task's pairs cannot be asked of this backbone, or nothing."""
    if not backbone.has_lm_head:
        return f"{backbone.name} has no language-model head to answer with"
    try:
        for pair in usable_pairs(task, backbone):
            verbalizer_tokens(with_words(task, pair), backbone)
    except UserError as error:
        return str(error)
    return ""


def usable_pairs(task: Task, backbone: Backbone) -> tuple[Pattern, ...]:
    """The pairs whose words are one token each, as PET demands; where there are none, first tokens stand for words."""
    pairs = task.pairs(backbone.kind)
    whole = [
        pair for pair in pairs if all(single_token(backbone, word) is not None for word in pair.verbalizer.values())
    ]
    return tuple(whole) or pairs


def with_words(task: Task, pair: Pattern) -> Task:
    """The task answered in the words of a pair."""
    return task.model_copy(update={"verbalizer": pair.verbalizer})


def soft_labels(logits: Float[Tensor, "N C"], temperature: float) -> Float[Tensor, "N C"]:
    """Shares of the labels, softmax(logits / temperature); section 3.2 takes 2."""
    return torch.softmax(logits / temperature, dim=1)


@dataclass(frozen=True)
class Votes:
    """What every model says of every text: the logits of its label words. `weights` are the models'."""

    logits: Float[Tensor, "K N C"]
    weights: Float[Tensor, "K"]

    def joint(self, models: Sequence[int]) -> Float[Tensor, "N C"]:
        """The weighted mean of some models' logits; where all of their weights are 0, the plain mean."""
        weights = self.weights[list(models)]
        weights = weights if float(weights.sum()) > 0 else torch.ones_like(weights)
        return torch.einsum("k,knc->nc", weights / weights.sum(), self.logits[list(models)])


@dataclass(frozen=True)
class Plan:
    """How the common step budget is divided: half of it over all models of all generations, the rest for the
    classifier. A budget with too few steps for that asks the first pairs only."""

    models: int  # of a generation
    model_steps: int  # of each of them
    classifier_steps: int

    @classmethod
    def of(cls, steps: int, pairs: int, generations: int) -> "Plan":
        """Every model and the classifier get a step at least."""
        models = max(1, min(pairs, steps // (2 * generations)))
        each = max(1, steps // (2 * models * generations))
        return cls(models, each, max(1, steps - each * models * generations))


class Ensemble:
    """The pairs of one member's task. Each call of `votes` trains a model a pair, from the pretrained backbone on."""

    def __init__(self, work: FleetWork, generations: int) -> None:
        (self.member,), (self.data,) = work.members, work.data
        pairs = usable_pairs(self.data.task, self.data.backbone)
        self.work = work
        self.plan = Plan.of(work.budget.steps, len(pairs), generations)
        self.pairs = pairs[: self.plan.models]
        self.texts = self._drawn_texts(self.plan.classifier_steps * work.budget.batch_size)
        self.steps, self.rows = 0, Rows()  # of all that the ensemble has done so far
        self.failures: list[str] = []
        self.weights = torch.tensor([self._accuracy(pair) for pair in self.pairs])

    def votes(self, labelled: Sequence[pd.DataFrame], generation: int) -> Votes:
        """What models trained on `labelled`, one table each, say of the texts."""
        said = [self._trained_logits(pair, rows, generation) for pair, rows in zip(self.pairs, labelled, strict=True)]
        return Votes(torch.stack(said), self.weights)

    def _drawn_texts(self, most: int) -> pd.DataFrame:
        """Unlabelled texts, no more than the classifier gets to see; where the task has none, those of train."""
        found = self.data.unlabeled if len(self.data.unlabeled) else self.data.train
        order = torch.randperm(len(found), generator=torch_generator(self.member.identity, "unlabelled texts"))
        return found.iloc[order[:most].tolist()].reset_index(drop=True).assign(label=self.data.task.labels[0])

    def _accuracy(self, pair: Pattern) -> float:
        """The weight of a pair: how often the backbone is right on labelled rows before it is trained (`wmean`)."""
        rows = self.data.train.head(WEIGHING_ROWS)
        chosen = self._label_logits(pair, self.data.backbone, rows).argmax(dim=1).tolist()
        right = [self.data.task.labels[index] == label for index, label in zip(chosen, rows["label"], strict=True)]
        return sum(right) / len(right)

    def _trained_logits(self, pair: Pattern, rows: pd.DataFrame, generation: int) -> Float[Tensor, "N C"]:
        """Nothing is chosen on dev: the loop evaluates once, when the model is done."""
        backbone, steps = self.data.backbone.tuned_copy(), self.plan.model_steps
        model = Member(
            identity=f"{self.member.identity}/{pair.id}/{generation}",
            space=self._label_space(pair).outputs,
            learning_rate=self.member.learning_rate,
            backbone_learning_rate=self.member.backbone_learning_rate,
            train=self._split(pair, rows),
            dev=self._split(pair, rows.head(1)),
            dev_score=lambda _: 0.0,
            trainable=Trainable(TunedWeights(backbone.model)),
        )
        budget = self.work.budget.model_copy(update={"steps": steps, "eval_every": steps})
        (trained,) = train_fleet(replace(self.work, backbone=backbone, members=[model], budget=budget))
        self.steps, self.rows = self.steps + trained.steps, self.rows + trained.rows
        logits = self._label_logits(pair, backbone, self.texts)
        if trained.failure or not logits.isfinite().all():
            self.failures.append(f"pair {pair.id}: {trained.failure or 'its logits are not finite'}")
        return logits

    @torch.no_grad()
    def _label_logits(self, pair: Pattern, backbone: Backbone, rows: pd.DataFrame) -> Float[Tensor, "N C"]:
        """The logits of a pair's words, in the order of the labels."""
        words = list(verbalizer_tokens(with_words(self.data.task, pair), backbone).values())
        fleet, pool = (
            Fleet(backbone, [self._label_space(pair).outputs]),
            Pool([self._split(pair, rows)], backbone.device),
        )
        number = torch.arange(len(rows))
        logits = torch.zeros(len(rows), len(words))
        answered = fleet.answered(
            pool,
            0 * number,
            number,
            FleetParts(),
            self.work.inference_tokens,
            lambda reading: reading.logits[:, words].float().cpu(),
        )
        for chunk, of_words in answered:
            logits[chunk] = of_words
        self.rows += fleet.rows()[0]
        return logits

    def _label_space(self, pair: Pattern) -> LabelSpace:
        return label_space_of(with_words(self.data.task, pair), self.data.backbone, head=False, vocabulary=None)

    def _split(self, pair: Pattern, rows: pd.DataFrame) -> Split:
        label_space = self._label_space(pair)
        return encode_split(
            label_space, self.data.backbone, pair, keep_answerable(label_space, rows), 0, self.data.max_tokens
        )


def distil(ensemble: Ensemble, logits: Float[Tensor, "N C"], temperature: float) -> list[Trained]:
    """The member's classifier, trained on the soft labels of the ensemble's texts (section 3.2).

    Steps count from the ensemble's first one; so do rows.
    """
    work, data, before = ensemble.work, ensemble.data, ensemble.steps
    if ensemble.failures:
        return [Trained(failure=ensemble.failures[0], steps=before, rows=ensemble.rows)]
    texts = ensemble.texts.assign(target=0)
    encoded = encode_split(data.label_space, work.backbone, data.task.head_input(), texts, 0, data.max_tokens)
    student = replace(ensemble.member, train=replace(encoded, soft=soft_labels(logits, temperature)))
    budget = work.budget.model_copy(update={"steps": ensemble.plan.classifier_steps})
    (trained,) = train_fleet(replace(work, members=[student], budget=budget))
    trained.curve = [point.model_copy(update={"step": point.step + before}) for point in trained.curve]
    trained.best_step = None if trained.best_step is None else trained.best_step + before
    trained.steps += before
    trained.rows += ensemble.rows
    return [trained]
