"""What a task's rows may be answered with on a backbone, and answers turned into scored predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.errors import NotFiniteError, UserError
from softprompt.inputs.encoding import first_token, single_token
from softprompt.inputs.outputs import OutputSpace, Predictions
from softprompt.inputs.tagging import tag_names
from softprompt.tasks.candidates import candidate_names, gold_candidates
from softprompt.tasks.metrics import METRICS
from softprompt.tasks.task import WORD_START, Task


@dataclass(frozen=True)
class LabelSpace:
    """The outputs of a (task, backbone): which there are, which one an answer is, which answer one is.

    The two functions serve tasks that are answered by labels; candidates and generated texts belong to an example.
    """

    task: Task
    outputs: OutputSpace
    output_of: Callable[[str], int | None]  # None: the backbone cannot give this answer
    name_of: Callable[[int], str]

    def named(self, examples: pd.DataFrame, outputs: Sequence[Any]) -> list[str]:
        """What each example was answered with, as predictions name it."""
        if self.outputs.form == "label":
            names = {output: self.name_of(output) for output in set(outputs)}
            return [names[output] for output in outputs]
        if self.outputs.form == "generation":
            return ["true" if output else "false" for output in outputs]
        if self.outputs.form == "tagging":
            return tag_names(self.task, examples, outputs)
        return candidate_names(self.task, examples, outputs)


def label_space_of(
    task: Task, backbone: Backbone, *, head: bool, vocabulary: Sequence[Sequence[str]] | None
) -> LabelSpace:
    """Classes of a head, words of a verbalizer, or for an open vocabulary the restricted one (None: every token).

    Candidates and generated texts may use any token; a head gives each candidate one number.
    """
    size = int(backbone.model.config.vocab_size)
    if task.answer_form == "candidates" or (task.answer_form == "generation" and not head):
        everything = torch.ones(1 if head else size, dtype=torch.bool)
        return LabelSpace(task, OutputSpace(everything, everything, task.answer_form), lambda _: None, str)
    if task.answer_form == "tagging":
        everything = torch.ones(len(task.labels), dtype=torch.bool)
        return LabelSpace(task, OutputSpace(everything, everything, "tagging"), lambda _: None, str)
    if head:
        return _closed(task, {label: index for index, label in enumerate(task.labels)}, len(task.labels))
    if task.labels:
        return _closed(task, verbalizer_tokens(task, backbone), size)
    allowed = _ordinary_tokens(backbone, size) if vocabulary is None else _tokens_of(backbone, vocabulary, size)
    return LabelSpace(
        task,
        OutputSpace(allowed, torch.ones(size, dtype=torch.bool)),
        partial(_allowed_token, backbone, allowed),
        lambda output: backbone.tokenizer.decode([output]).strip(),
    )


def verbalizer_tokens(task: Task, backbone: Backbone) -> dict[str, int]:
    """Label -> token of its word; where the vocabulary splits a label word, its first token stands for it
    (as OpenPrompt's `multi_token_handler: first`).

    Raises UserError where two labels would share a token.
    """
    tokens = {}
    for label in task.labels:
        whole = single_token(backbone, task.verbalizer[label])
        tokens[label] = first_token(backbone, task.verbalizer[label]) if whole is None else whole
    if len(set(tokens.values())) < len(tokens):
        words = ", ".join(task.verbalizer[label] for label in task.labels)
        raise UserError(
            f"{task.key} on {backbone.name}: the label words {words} do not begin with different tokens; "
            f"choose other words in the verbalizer of tasks/definitions/{task.name}.yaml"
        )
    return tokens


def keep_answerable(label_space: LabelSpace, examples: pd.DataFrame) -> pd.DataFrame:
    """The examples whose answer the backbone can give, with it in the column `target`: the output, the first right
    candidate, or 1 for a text that is to be generated."""
    target = _targets(label_space, examples)
    known = target.notna()
    return examples[known].assign(target=target[known].astype(int)).reset_index(drop=True)


def _targets(label_space: LabelSpace, examples: pd.DataFrame) -> "pd.Series[float]":
    if label_space.outputs.form == "label":
        outputs = {label: label_space.output_of(label) for label in examples["label"].unique()}
        return examples["label"].map(outputs).astype(float)
    if label_space.outputs.form == "tagging":
        return pd.Series(0.0, index=examples.index)  # there is one for every word, which encoding makes
    gold = gold_candidates(label_space.task, examples)
    if label_space.outputs.form == "generation":
        return pd.Series([float(right) for (right,) in gold], index=examples.index)
    return pd.Series([row.index(True) if any(row) else None for row in gold], index=examples.index, dtype=float)


def prediction_table(label_space: LabelSpace, examples: pd.DataFrame, predictions: Predictions) -> pd.DataFrame:
    """One row an example: id, group, gold, prediction, gold_rank.

    Raises NotFiniteError where logits are no numbers.
    """
    broken = int((~predictions.loss.isfinite()).sum())
    if broken:
        raise NotFiniteError(f"the logits of {broken} of {len(examples)} examples are not finite")
    return pd.DataFrame(
        {
            "id": examples["id"].to_numpy(),
            "group": examples["group"].to_numpy(),
            "gold": examples["label"].to_numpy(),
            "prediction": label_space.named(examples, predictions.prediction.tolist()),
            "gold_rank": predictions.gold_rank.numpy(),
        }
    )


def dev_score(task: Task, label_space: LabelSpace, examples: pd.DataFrame, predictions: Predictions) -> float:
    """The task's first metric; one with a lower-is-better direction is negated, so that higher always wins.

    Raises NotFiniteError as `prediction_table` does.
    """
    metric = METRICS[task.metrics[0]]
    value = metric(prediction_table(label_space, examples, predictions))
    return value if metric.higher_is_better else -value


def majority_predictions(train_labels: Sequence[str], examples: pd.DataFrame) -> pd.DataFrame:
    """The commonest train label as the answer to every example; ranks follow frequency, ties the alphabet."""
    counts = pd.Series(train_labels).value_counts()
    order = sorted(counts.index, key=lambda label: (-counts[label], label))
    rank = {label: position + 1 for position, label in enumerate(order)}
    gold = examples["label"]
    return pd.DataFrame(
        {
            "id": examples["id"],
            "group": examples["group"],
            "gold": gold,
            "prediction": order[0],
            "gold_rank": gold.map(lambda label: rank.get(label, len(order) + 1)),
        }
    )


def _closed(task: Task, outputs: dict[str, int], size: int) -> LabelSpace:
    allowed = torch.zeros(size, dtype=torch.bool)
    allowed[list(outputs.values())] = True
    names = {output: label for label, output in outputs.items()}
    return LabelSpace(task, OutputSpace(allowed, allowed), outputs.get, names.__getitem__)


def _ordinary_tokens(backbone: Backbone, size: int) -> Bool[Tensor, "V"]:
    allowed = torch.ones(size, dtype=torch.bool)
    allowed[len(backbone.tokenizer) :] = False
    allowed[backbone.tokenizer.all_special_ids] = False
    return allowed


def _tokens_of(backbone: Backbone, vocabulary: Sequence[Sequence[str]], size: int) -> Bool[Tensor, "V"]:
    allowed = torch.zeros(size, dtype=torch.bool)
    allowed[_single_tokens(backbone, tuple(map(tuple, vocabulary)))] = True
    return allowed


@lru_cache(maxsize=1)
def _single_tokens(backbone: Backbone, vocabulary: tuple[tuple[str, ...], ...]) -> list[int]:
    """Remembered, because all relations share a vocabulary of some 20,000 words."""
    tokens = [single_token(backbone, word) for word in sorted(words_for(backbone, vocabulary))]
    return [token for token in tokens if token is not None]


def words_for(backbone: Backbone, vocabulary: Sequence[Sequence[str]]) -> set[str]:
    """The words of the lists that are written in the backbone's own tokens, as that of its model is and those of other
    sizes; of every list where there is none such (one list for all models, or a model without a list)."""
    known = backbone.tokenizer.get_vocab().keys()
    own = [tokens for tokens in vocabulary if known >= set(tokens)]
    return {token.removeprefix(WORD_START) for tokens in own or vocabulary for token in tokens}


def _allowed_token(backbone: Backbone, allowed: Bool[Tensor, "V"], word: str) -> int | None:
    token = single_token(backbone, word)
    return token if token is not None and allowed[token] else None
