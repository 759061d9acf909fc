"""A task as data: its fields, labels, templates and metrics. Definitions live in `definitions/*.yaml`."""

import re
from typing import Literal

from pydantic import Field

from softprompt.config import Frozen, Kind

Role = Literal["manual", "p_tuning", "plain"]
AnswerForm = Literal["label", "candidates", "generation", "tagging"]
CANDIDATE = "candidate"  # the slot of a head's input that holds one of the candidates
SLOT = re.compile(r"\{(\w+)\}")


class Template(Frozen):
    """Text with slots: `{field}` for a column of the example, `{mask}` for the answer, `{prompt}` for a block of
    trainable vectors (roles p_tuning only), `{sep}` for the separator of a masked backbone. Everything else is literal;
    blanks count, and each belongs to what follows it."""

    id: str
    text: str
    source: str  # paper and place, or repository path
    kinds: tuple[Kind, ...] = ("masked", "causal", "seq2seq")

    def slots(self) -> list[str]:
        """Slot names in the order of the text."""
        return SLOT.findall(self.text)

    def with_prompt_in_front(self) -> "Template":
        """The same text after one block of trainable vectors."""
        return self.model_copy(update={"id": f"prompt+{self.id}", "text": f"{{prompt}} {self.text}"})


class Task(Frozen):
    """One data set of a suite.

    `labels` is empty where examples bring their own: in LAMA the label of an example is its one-token answer.
    `answer_form` says how an answer is found:
    - label: the word of a label (or a head's class) competes with those of the other labels;
    - candidates: each of an example's candidates is put in for {mask}, word pieces and all, and the likeliest wins.
      `candidates` names a field for each label, or the one field that holds a JSON list of texts;
    - generation: the field `candidates` is what a model would write at {mask} if the label were "true". It learns from
      true examples, and says "true" where it would write just that. A head still chooses between the labels;
    - tagging: a head gives every word one of the labels; the label of an example is a JSON list (training/tagging.py).
    `manual` holds every manual template (the first is the task's standard one), `p_tuning` the paper's slot templates,
    `plain` the input alone with the answer at its end, for methods that put a prompt in front.
    """

    suite: str
    name: str
    version: int
    fields: tuple[str, ...]
    head_fields: tuple[str, ...]  # one or two fields (or `candidate`), as a classification head reads them
    labels: tuple[str, ...] = ()
    verbalizer: dict[str, str] = Field(default={})  # label -> one word
    answer_form: AnswerForm = "label"
    candidates: tuple[str, ...] = ()
    metrics: tuple[str, ...]  # the first one selects
    manual: tuple[Template, ...]
    p_tuning: tuple[Template, ...]
    plain: Template

    @property
    def key(self) -> str:
        return f"{self.suite}/{self.name}"

    def head_input(self) -> Template:
        """The fields as a classification head reads them, as BERT's pairs of segments."""
        text = " {sep} ".join(f"{{{name}}}" for name in self.head_fields)
        return Template(id="head", text=text, source="Devlin et al. 2019, section 4")

    def templates(self, role: Role, kind: Kind) -> tuple[Template, ...]:
        """The templates of a role that suit a type of backbone."""
        found = {"manual": self.manual, "p_tuning": self.p_tuning, "plain": (self.plain,)}[role]
        return tuple(template for template in found if kind in template.kinds)
