"""COPA: a premise, two choices and whether its cause or its effect is wanted."""

from collections.abc import Iterator

from softprompt.data.formats.file_format import FORMATS, Format, Parsed, text_of
from softprompt.data.formats.texts import continued, unpunctuated
from softprompt.data.validation import RawRecord

CONNECTIVES: dict[object, str] = {"cause": "because", "effect": "so"}


@FORMATS.register("copa")
class Copa(Format):
    official_columns = ("premise", "choice1", "choice2", "question")

    def parse(self, record: RawRecord, *, labelled: bool) -> Iterator[Parsed]:
        premise, choice1, choice2 = (text_of(record, field) for field in ("premise", "choice1", "choice2"))
        connective = record.choice("question", CONNECTIVES)
        stem = unpunctuated(premise)
        fields = {
            "premise": premise,
            "choice1": choice1,
            "choice2": choice2,
            "question": record.text("question"),
            "connective": connective,
            "stem": stem,
            "option1": unpunctuated(continued(choice1)),
            "option2": unpunctuated(continued(choice2)),
            "cloze": f"{stem} {connective}",
            "pet_stem": f"{stem}," if connective == "so" else stem,  # PET writes "..., so", but "... because"
        }
        yield Parsed(self.id_of(record), self.label_of(record, labelled=labelled), fields)
