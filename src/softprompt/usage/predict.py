"""What a trained cell answers to new texts, with probabilities."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from softprompt.data.prepared import load_split
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import ScoredSplit
from softprompt.files import write_csv
from softprompt.inputs.label_space import LabelSpace
from softprompt.reporting.rendering.markdown import as_text, percent, table
from softprompt.tasks.candidates import candidates_of
from softprompt.usage.cells import TrainedCell

SHOWN_ANSWERS = 5
SHOWN_LETTERS = 60  # of an input in the printed table
Ranking = list[tuple[str, float]]  # answers of one example, best first, with their probabilities


def predict(chosen: TrainedCell, inputs: pd.DataFrame) -> pd.DataFrame:
    """The inputs with the columns answer_1, probability_1, answer_2, ...: the likeliest answers, at most five.

    Probabilities are among the answers that can be given: label words, a head's classes, the restricted vocabulary, an
    example's candidates. Where a text is to be generated, there is one answer (would the model write it?) and the
    geometric mean of the probabilities of the text's tokens. A majority answers with shares of the train split.

    Raises UserError for a task that labels every word.
    """
    trained, task = chosen.trained, chosen.task
    if task.answer_form == "tagging":
        raise UserError(f"{task.key} labels every word, which predict cannot show; ask a cell of another task")
    asks = trained.method.templates(task, trained.backbone.kind)
    rankings = list(_rankings(chosen, inputs)) if asks else [_majority(chosen)] * len(inputs)
    width = max(map(len, rankings))
    columns = {
        f"{what}_{place + 1}": [ranking[place][index] if place < len(ranking) else None for ranking in rankings]
        for place in range(width)
        for index, what in enumerate(("answer", "probability"))
    }
    return pd.concat([inputs, pd.DataFrame(columns, index=inputs.index)], axis=1)


def render_predictions(chosen: TrainedCell, predictions: pd.DataFrame) -> str:
    """A Markdown table, one line an example, under a line that says what answered."""
    template = chosen.cell.templates[0] if chosen.cell.templates else "none"
    width = sum(name.startswith("answer_") for name in predictions.columns)
    rows = []
    for example in predictions.to_dict("records"):
        text = " | ".join(str(example[name]) for name in chosen.task.fields)
        label_space = [
            f"{as_text(str(example[f'answer_{place}']))} {percent(example[f'probability_{place}'])}"
            for place in range(1, width + 1)
            if pd.notna(example[f"answer_{place}"])
        ]
        rows.append([str(example["row"]), _shortened(text), *label_space, *[""] * (width - len(label_space))])
    header = ["row", "input", "answer, probability in %", *[""] * (width - 1)]
    return f"{chosen.name()}, template {as_text(template)}\n\n{table(header, rows, left=2 + width)}"


@torch.no_grad()
def _rankings(chosen: TrainedCell, inputs: pd.DataFrame) -> Iterator[Ranking]:
    """By the first of the cell's templates."""
    trained, label_space = chosen.trained, chosen.trained.label_space_of(chosen.task)
    examples = unanswered(label_space, inputs)
    scored = ScoredSplit(chosen.task, label_space, examples, "new")
    fleet, pool, parts = trained.fleet_of([trained.first_request(scored, chosen.cell)])
    member, number = torch.zeros(len(inputs), dtype=torch.long), torch.arange(len(inputs))
    shown = (
        min(SHOWN_ANSWERS, int(label_space.outputs.allowed.sum()))
        if label_space.outputs.form == "label"
        else SHOWN_ANSWERS
    )
    found: dict[int, tuple[list[int], list[float]]] = {}
    tokens = trained.params.device.inference_tokens
    rank = partial(fleet.ranked, parts=parts, count=shown)
    for chunk, (outputs, probabilities) in fleet.answered(pool, member, number, parts, tokens, rank):
        if not probabilities.isfinite().all():
            raise UserError(f"{chosen.name()}: its logits are not finite, so that it answers nothing; train it again")
        for example, ranked in zip(
            chunk.tolist(), zip(outputs.tolist(), probabilities.tolist(), strict=True), strict=True
        ):
            found[example] = ranked
    for example, texts in enumerate(_texts(label_space, examples)):
        likeliest = zip(*found[example], strict=True)
        if texts is None:
            yield [(label_space.name_of(output), share) for output, share in likeliest]
        else:
            yield [(texts[output], share) for output, share in likeliest if output < len(texts)]


def _texts(label_space: LabelSpace, examples: pd.DataFrame) -> Sequence[Sequence[str] | None]:
    """What the outputs of each example mean; None where the answers themselves know."""
    if label_space.outputs.form == "label":
        return [None] * len(examples)
    if label_space.outputs.form == "generation":
        return [("false", "true")] * len(examples)
    return (
        [label_space.task.labels] * len(examples)
        if label_space.task.labels
        else candidates_of(label_space.task, examples)
    )


def unanswered(label_space: LabelSpace, inputs: pd.DataFrame) -> pd.DataFrame:
    """The examples with a right answer that is made up: encoding asks for one, and nothing looks at it here."""
    task = label_space.task
    if label_space.outputs.form == "label":
        return inputs.assign(label="", target=int(label_space.outputs.allowed.nonzero()[0]))
    if task.labels:
        return inputs.assign(label=task.labels[0])
    return inputs.assign(label=[json.dumps(texts[:1]) for texts in candidates_of(task, inputs)])


def _majority(chosen: TrainedCell) -> Ranking:
    train = load_split(chosen.trained.paths.suite(chosen.task.suite), chosen.task.name, "train")
    shares = train["label"].value_counts(normalize=True)
    order = sorted(shares.index, key=lambda label: (-shares[label], label))
    return [(str(label), float(shares[label])) for label in order[:SHOWN_ANSWERS]]


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return as_text(line if len(line) <= SHOWN_LETTERS else f"{line[: SHOWN_LETTERS - 1]}…")


def to_csv(predictions: pd.DataFrame, out: Path) -> str:
    """The name of the written file; probabilities have six decimals."""
    write_csv(out, predictions)
    return str(out)
