"""A task as data: its fields, labels, templates and metrics. Definitions live in `definitions/*.yaml`."""

import re
from typing import Literal

from pydantic import Field

from softprompt.config import Frozen, Kind
from softprompt.config.names import Name

Role = Literal["manual", "p_tuning", "plain"]
AnswerForm = Literal["label", "candidates", "generation", "tagging"]
WORD_START = "\u0120"  # how RoBERTa's and GPT-2's tokens write the blank before a word
CANDIDATE = "candidate"  # the slot of a head's input that holds one of the candidates
SLOT = re.compile(r"\{(\w+)\}")


class Template(Frozen):
    """Text with slots: `{field}` for a column of the example, `{mask}` for the answer, `{prompt}` for a block of
    trainable vectors (roles p_tuning only), `{sep}` for the separator of a masked backbone. Everything else is literal;
    blanks count, and each belongs to what follows it. Without {mask}, an encoder-decoder's answer is its whole target.
    """

    id: str
    text: str
    source: str  # paper and place, or repository path
    kinds: tuple[Kind, ...] = ("masked", "causal", "seq2seq")
    others: tuple[str, ...] = ()  # further wordings of an ensemble, each put to every example

    @property
    def wordings(self) -> tuple[str, ...]:
        """All texts, `text` first."""
        return (self.text, *self.others)

    def slots(self) -> list[str]:
        """Slot names in the order of the text."""
        return SLOT.findall(self.text)

    def with_prompt_in_front(self) -> "Template":
        """The same text after one block of trainable vectors."""
        return self.model_copy(update={"id": f"prompt+{self.id}", "text": f"{{prompt}} {self.text}"})

    def without_blank(self) -> "Template":
        """The same text without {mask}."""
        text = self.text.replace("{mask}", "").strip()
        return self.model_copy(update={"id": f"{self.id}-target", "text": text})


class Pattern(Template):
    """A template with the words that stand for the labels in it: PET's pattern-verbalizer pair."""

    verbalizer: dict[str, str]  # label -> one word


class Task(Frozen):
    """One data set of a suite.

    `labels` is empty where examples bring their own: in LAMA the label of an example is its one-token answer.
    `answer_form` says how an answer is predicted:
    - label: the word of a label (or a head's class) competes with those of the other labels;
    - candidates: each of an example's candidates is put in for {mask}, word pieces and all, and the likeliest wins.
      `candidates` names a field for each label, or the one field that holds a JSON list of texts;
    - generation: the field `candidates` is what a model would write at {mask} if the label were "true". It learns from
      true examples, and says "true" where it would write just that. A head still chooses between the labels;
    - tagging: a head gives every word one of the labels; the label of an example is a JSON list (inputs/tagging.py).
    `manual` holds every manual template (the first is the task's standard one), `p_tuning` the paper's slot templates,
    `plain` the input alone with the answer at its end, for methods that put a prompt in front,
    `patterns` the pairs of PET that are no manual template, most of them for the sake of other words, `discrete`
    further prompts of words, of LAMA relations only: LPAQA's and published triggers.
    """

    suite: Name
    name: Name
    version: int
    fields: tuple[str, ...]
    head_fields: tuple[str, ...]  # one or two fields (or `candidate`), as a classification head reads them
    labels: tuple[str, ...] = ()
    verbalizer: dict[str, str] = Field(default={})  # label -> one word
    answer_form: AnswerForm = "label"
    candidates: tuple[str, ...] = ()
    metrics: tuple[str, ...]  # the first one selects
    score: tuple[str, ...] = ()  # those whose mean is the task's score; none: all of them
    manual: tuple[Template, ...]
    p_tuning: tuple[Template, ...]
    plain: Template
    patterns: tuple[Pattern, ...] = ()
    discrete: tuple[Template, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.suite}/{self.name}"

    @property
    def score_metrics(self) -> tuple[str, ...]:
        """The metrics whose mean is the task's score; the others stay numbers of their own."""
        return self.score or self.metrics

    def head_input(self) -> Template:
        """The fields as a classification head reads them, as BERT's pairs of segments."""
        text = " {sep} ".join(f"{{{name}}}" for name in self.head_fields)
        return Template(id="head", text=text, source="Devlin et al. 2019, section 4")

    def templates(self, role: Role, kind: Kind) -> tuple[Template, ...]:
        """The templates of a role that suit a type of backbone."""
        of_role = {"manual": self.manual, "p_tuning": self.p_tuning, "plain": (self.plain,)}[role]
        return tuple(template for template in of_role if kind in template.kinds)

    def pairs(self, kind: Kind) -> tuple[Pattern, ...]:
        """PET's own pairs for a type of backbone, with the other manual templates where those are fewer than two."""
        manual = [Pattern(**template.model_dump(), verbalizer=self.verbalizer) for template in self.manual]
        suited = [pair for pair in (*manual, *self.patterns) if kind in pair.kinds]
        own = [pair for pair in suited if pair.source.startswith("PET,")]
        return tuple(own if len(own) > 1 else suited)
