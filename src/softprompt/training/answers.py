"""What a task's rows may be answered with on a backbone, and answers turned into scored predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.errors import UserError
from softprompt.tasks.metrics import METRICS
from softprompt.tasks.task import Task
from softprompt.training.encoding import first_token, single_token
from softprompt.training.member import Answered, AnswerSpace


@dataclass(frozen=True)
class Answers:
    """The outputs of a (task, backbone): which there are, which one an answer is, which answer one is."""

    space: AnswerSpace
    output_of: Callable[[str], int | None]  # None: the backbone cannot give this answer
    name_of: Callable[[int], str]


def answers_of(task: Task, backbone: Backbone, *, head: bool, vocabulary: Sequence[str] | None) -> Answers:
    """Classes of a head, words of a verbalizer, or for an open vocabulary the restricted one (None: every token)."""
    if head:
        return _closed({label: index for index, label in enumerate(task.labels)}, len(task.labels))
    size = int(backbone.model.config.vocab_size)
    if task.labels:
        return _closed(verbalizer_tokens(task, backbone), size)
    allowed = _ordinary_tokens(backbone, size) if vocabulary is None else _tokens_of(backbone, vocabulary, size)
    return Answers(
        AnswerSpace(allowed, torch.ones(size, dtype=torch.bool)),
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


def keep_answerable(answers: Answers, examples: pd.DataFrame) -> pd.DataFrame:
    """The examples whose answer the backbone can give, with the answer's output in the column `target`."""
    outputs = {label: answers.output_of(label) for label in examples["label"].unique()}
    target = examples["label"].map(outputs)
    known = target.notna()
    return examples[known].assign(target=target[known].astype(int)).reset_index(drop=True)


def answer_frame(answers: Answers, examples: pd.DataFrame, answered: Answered) -> pd.DataFrame:
    """One row an example: id, group, gold, prediction, gold_rank, correct."""
    outputs = answered.prediction.tolist()
    names = {output: answers.name_of(output) for output in set(outputs)}
    return pd.DataFrame(
        {
            "id": examples["id"].to_numpy(),
            "group": examples["group"].to_numpy(),
            "gold": examples["label"].to_numpy(),
            "prediction": [names[output] for output in outputs],
            "gold_rank": answered.gold_rank.numpy(),
            "correct": (examples["target"].to_numpy() == answered.prediction.numpy()).astype(float),
        }
    )


def dev_score(task: Task, answers: Answers, examples: pd.DataFrame, answered: Answered) -> float:
    """The task's first metric; one with a lower-is-better direction is negated, so that higher always wins."""
    metric = METRICS[task.metrics[0]]
    value = metric.function(answer_frame(answers, examples, answered))
    return value if metric.higher_is_better else -value


def majority_frame(train_labels: Sequence[str], examples: pd.DataFrame) -> pd.DataFrame:
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
            "correct": (gold == order[0]).astype(float),
        }
    )


def _closed(outputs: dict[str, int], size: int) -> Answers:
    allowed = torch.zeros(size, dtype=torch.bool)
    allowed[list(outputs.values())] = True
    names = {output: label for label, output in outputs.items()}
    return Answers(AnswerSpace(allowed, allowed), outputs.get, names.__getitem__)


def _ordinary_tokens(backbone: Backbone, size: int) -> Bool[Tensor, "V"]:
    allowed = torch.ones(size, dtype=torch.bool)
    allowed[len(backbone.tokenizer) :] = False
    allowed[backbone.tokenizer.all_special_ids] = False
    return allowed


def _tokens_of(backbone: Backbone, vocabulary: Sequence[str], size: int) -> Bool[Tensor, "V"]:
    allowed = torch.zeros(size, dtype=torch.bool)
    allowed[_single_tokens(backbone, tuple(vocabulary))] = True
    return allowed


@lru_cache(maxsize=1)
def _single_tokens(backbone: Backbone, vocabulary: tuple[str, ...]) -> list[int]:
    """Remembered, because all relations share a vocabulary of some 20,000 words."""
    tokens = [single_token(backbone, word) for word in vocabulary]
    return [token for token in tokens if token is not None]


def _allowed_token(backbone: Backbone, allowed: Bool[Tensor, "V"], word: str) -> int | None:
    token = single_token(backbone, word)
    return token if token is not None and allowed[token] else None
