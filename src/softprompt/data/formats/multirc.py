"""MultiRC: questions on a paragraph, each with several answers of which any may be right. One example an answer."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from softprompt.data.formats.file_format import FORMATS, Format, Parsed, Row, text_of
from softprompt.data.validation import RawRecord

EMPTY_ANSWER = "empty answer text"


@FORMATS.register("multirc")
class MultiRC(Format):
    """Ids are paragraph-question-answer. The official train and test sets hold a few answers without text: dropped."""

    def parse(self, record: RawRecord, *, labelled: bool) -> Iterator[Parsed]:
        paragraph, passage = self.id_of(record), record.child("passage")
        text = text_of(passage, "text")
        for question in passage.children("questions"):
            question_id, wording = f"{paragraph}-{question.integer('idx')}", text_of(question, "question")
            for answer in question.children("answers"):
                reply = answer.text("text", may_be_empty=True).strip()
                fields = {
                    "passage": text,
                    "question": wording,
                    "answer": reply,
                    "question_answer": f"{wording} {reply}",
                }
                yield Parsed(
                    f"{question_id}-{answer.integer('idx')}",
                    self.label_of(answer, labelled=labelled),
                    fields,
                    dropped="" if reply else EMPTY_ANSWER,
                )

    def official_row(self, given: Row) -> Row:
        """A flat row's passage, question and answer nested as officially; a nested row as it is."""
        if isinstance(given.get("passage"), dict):
            return given
        answers = [{"idx": 0, "text": given["answer"]}]
        questions = [{"idx": 0, "question": given["question"], "answers": answers}]
        return {"passage": {"text": given["passage"], "questions": questions}}

    def official_rows(self, hub_rows: Iterable[Row]) -> Iterator[Row]:
        """The answers of a paragraph stand together; officially they are nested under their questions."""
        for paragraph, of_paragraph in groupby(hub_rows, key=lambda row: row["idx"]["paragraph"]):
            questions: dict[int, Row] = {}
            for row in of_paragraph:
                text, number = row["paragraph"], row["idx"]["question"]
                question = questions.setdefault(number, {"question": row["question"], "answers": [], "idx": number})
                answer = {"text": row["answer"], "idx": row["idx"]["answer"]}
                question["answers"].append(self.with_hub_label(row, answer))
            yield {"idx": paragraph, "passage": {"text": text, "questions": list(questions.values())}}
