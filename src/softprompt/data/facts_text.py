"""Pretraining text made of real facts: LAMA's, told in some of their manual templates; passages as ordinary prose.

Only the splits train, dev and test are told, as they were prepared, never `withheld`. Of every family of templates the
last quarter, and at least one of two or more, is kept out of the text. Which wordings tell a fact is drawn with
probabilities that fall as 1 / rank, so that no single wording reaches every fact; the first one puts the object last.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softprompt.config import TextSettings
from softprompt.data.lama import without_blanks
from softprompt.data.prepared_task import PreparedTask
from softprompt.errors import UserError
from softprompt.seeding import numpy_generator
from softprompt.tasks.template_families import family_of

HELD_OUT = 4  # one in so many templates of a family is not told
NO_FACT = "fact to tell: choose relations whose objects are words of plain letters"
TOLD_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Wording:
    """A manual template that the text uses."""

    id: str
    text: str  # with {subject} and {mask}

    @property
    def forward(self) -> bool:
        """Whether the object follows the subject, so that a causal model can be asked."""
        return self.text.index("{subject}") < self.text.index("{mask}")


def write_facts_text(folder: Path, tasks: list[PreparedTask], settings: TextSettings, prose: Iterable[str]) -> None:
    """Write facts.jsonl, answers.json and documents.jsonl: the same bytes from the same input.

    A line of facts.jsonl also says which relation, subject, object and template it was made of.
    Raises UserError where there is no fact to tell or no prose.
    """
    wordings = told_wordings(tasks)
    lines = [line for task in tasks for line in fact_lines(task, wordings[task.name], settings)]
    documents: list[dict[str, object]] = [{"text": text, "answers": []} for text in prose]
    if not lines or not documents:
        lack = "passage: put BoolQ or MultiRC into superglue/, or XQuAD into extra/xquad/" if lines else NO_FACT
        raise UserError(f"suites.lama.text: there is no {lack}")
    folder.mkdir(parents=True)
    _write_lines(folder / "facts.jsonl", lines)
    _write_lines(folder / "documents.jsonl", documents)
    objects = {label for task in tasks for table in task.tables.values() for label in table["label"]}
    answers = sorted(filter(tellable, objects))
    (folder / "answers.json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")


def leave_out_untold_order(tasks: list[PreparedTask], settings: TextSettings) -> None:
    """Ask no template that puts the object first, where every fact has one wording and that puts it last.

    Such a template is never told, so it could only show that a fact is not known backwards.
    """
    for task in tasks if settings.wordings_per_fact == 1 else ():
        described = json.loads(task.files["templates.json"])
        forward = [one for one in described["templates"] if Wording(one["id"], one["text"]).forward]
        described["templates"] = forward or described["templates"]
        task.files["templates.json"] = json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def tellable(label: str) -> bool:
    """Whether an object can be one token of any tokenizer that is trained here: one word of unaccented letters."""
    return label.isascii() and label.isalpha()


def told_wordings(tasks: list[PreparedTask]) -> dict[str, list[Wording]]:
    """By relation, the templates that the text uses, the commonest first.

    A template of LPAQA that another relation has too is left out: mined from text, some speak of that other relation
    (`[X] died in [Y]` for the place of birth).
    """
    templates = {task.name: json.loads(task.files["templates.json"])["templates"] for task in tasks}
    owners = Counter(text for own in templates.values() for text in {without_blanks(one["text"]) for one in own})
    told: dict[str, list[Wording]] = {}
    for name, own in templates.items():
        sizes, seen = Counter(family_of(one["id"]) for one in own), Counter[str]()
        told[name] = []
        for one in own:
            family = family_of(one["id"])
            seen[family] += 1
            shared = family.startswith("lpaqa") and owners[without_blanks(one["text"])] > 1
            if seen[family] <= _told_of(sizes[family]) and not shared:
                told[name].append(Wording(one["id"], one["text"]))
    return told


def _told_of(size: int) -> int:
    return size - max(1, size // HELD_OUT) if size > 1 else size


def fact_lines(task: PreparedTask, wordings: list[Wording], settings: TextSettings) -> Iterator[dict[str, object]]:
    """Every fact that stands in a told split, once in each of the wordings drawn for it."""
    rng = numpy_generator(f"lama/{task.name}", f"wordings {settings.seed}")
    tables = [task.tables[split] for split in TOLD_SPLITS if split in task.tables]
    facts = dict.fromkeys(fact for table in tables for fact in zip(table["subject"], table["label"], strict=True))
    for subject, label in facts:
        if tellable(label):
            for wording in draw_wordings(wordings, settings.wordings_per_fact, rng):
                yield _line(task.name, wording, subject, label)


def draw_wordings(wordings: list[Wording], count: int, rng: np.random.Generator) -> list[Wording]:
    """`count` different wordings, early ones more often; the first of them puts the object after the subject."""
    weights = 1 / np.arange(1, len(wordings) + 1)
    forward = np.array([wording.forward for wording in wordings])
    usable = weights * forward if forward.any() else weights
    drawn = [int(rng.choice(len(wordings), p=usable / usable.sum()))]
    while len(drawn) < min(count, len(wordings)):
        weights[drawn] = 0
        drawn.append(int(rng.choice(len(wordings), p=weights / weights.sum())))
    return [wordings[i] for i in drawn]


def _line(relation: str, wording: Wording, subject: str, label: str) -> dict[str, object]:
    before, after = (part.replace("{subject}", subject) for part in wording.text.split("{mask}"))
    return {
        "text": f"{before}{label}{after}",
        "answers": [[len(before), len(before) + len(label)]],
        "relation": relation,
        "template": wording.id,
        "subject": subject,
        "label": label,
    }


def _write_lines(path: Path, lines: Iterable[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
