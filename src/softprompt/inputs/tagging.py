"""Tasks that label every word of a sentence: where words are read, and tags as predictions.

Examples are tables of texts. The task's one head field holds an example's words with blanks between them, its label is
a JSON list with a tag a word. A word is read at its first piece. Axes: N rows, K words of the longest row.
"""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.errors import UserError
from softprompt.inputs.batches import Split
from softprompt.inputs.encoding import NO_TOKEN, Encoded, encode_texts, special_tokens, tokenize
from softprompt.tasks.task import Task, Template

OUTSIDE = "O"  # the tag of a word that belongs to no entity


def encode_tagged(
    task: Task, backbone: Backbone, template: Template, examples: pd.DataFrame, prompt_length: int, max_tokens: int
) -> Split:
    """One row a sentence. Words that had to be cut off are not read.

    Raises UserError where the tokenizer does not keep words apart.
    """
    encoded = encode_texts(backbone, template, examples, prompt_length, max_tokens)
    numbers = {tag: index for index, tag in enumerate(task.labels)}
    (field,) = task.head_fields
    lead = "" if template.text.startswith(f"{{{field}}}") else " "
    places, targets = [], []
    for row, (text, tags) in enumerate(zip(examples[field], examples["label"], strict=True)):
        first, *others = text.split()
        words = [f"{lead}{first}", *(f" {word}" for word in others)]
        found = _first_pieces(backbone, encoded, row, words, max_tokens)
        places.append(torch.tensor(found))
        targets.append(torch.tensor([numbers[tag] for tag in json.loads(tags)][: len(found)]))
    read_at, target = _padded(places, 0), _padded(targets, NO_TOKEN)
    one_row = torch.ones(len(examples), dtype=torch.long)
    read = Encoded(encoded.ids, encoded.slots, encoded.lengths, read_at, target)
    return Split(read, target, one_row.bool(), one_row, tagged=True)


def _first_pieces(backbone: Backbone, encoded: Encoded, row: int, words: Sequence[str], max_tokens: int) -> list[int]:
    """Where in the row each word begins, as far as the row goes. `words` bring the blanks before them."""
    prefix, suffix = special_tokens(backbone.tokenizer, backbone.kind)
    length = int(encoded.lengths[row])
    ordinary = [place for place, slot in enumerate(encoded.slots[row, :length].tolist()) if slot < 0]
    places = ordinary[len(prefix) : len(ordinary) - len(suffix)]
    sizes = [len(tokenize(backbone.tokenizer, word)) for word in words]
    starts = [0, *accumulate(sizes[:-1])]
    if sum(sizes) != len(places) and length < max_tokens:
        raise UserError(
            f"{backbone.name}: {''.join(words)!r} is {len(places)} tokens as a text, but {sum(sizes)} word by word; "
            "expected a tokenizer that keeps words apart; leave the task out for this backbone"
        )
    return [places[start] for start in starts if start < len(places)]


def _padded(rows: Sequence[Tensor], fill: int) -> Int[Tensor, "N K"]:
    if not rows:
        return torch.full((0, 1), fill)
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=fill)


def tag_names(task: Task, examples: pd.DataFrame, outputs: Sequence[Sequence[int]]) -> list[str]:
    """The tags of each sentence as JSON; a word that was cut off is outside."""
    names = []
    for chosen, gold in zip(outputs, examples["label"], strict=True):
        tags = [task.labels[output] for output in chosen if output != NO_TOKEN]
        names.append(json.dumps(tags + [OUTSIDE] * (len(json.loads(gold)) - len(tags))))
    return names


def majority_tags(train_labels: Sequence[str], examples: pd.DataFrame) -> pd.DataFrame:
    """The commonest tag of the train words as the answer for every word; the alphabet decides between equals."""
    counts = Counter(tag for tags in train_labels for tag in json.loads(tags))
    commonest = min(counts, key=lambda tag: (-counts[tag], tag))
    predicted = [json.dumps([commonest] * len(json.loads(gold))) for gold in examples["label"]]
    right = [said == gold for said, gold in zip(predicted, examples["label"], strict=True)]
    return pd.DataFrame(
        {
            "id": examples["id"],
            "group": examples["group"],
            "gold": examples["label"],
            "prediction": predicted,
            "gold_rank": [1 if one else 2 for one in right],
        }
    )
