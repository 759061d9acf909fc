"""One official SuperGLUE row -> typed rows, for each task. FewGLUE has the same formats.

A parser yields what a row holds: a `Parsed` for each example, or the reason why an example is left out. Checks are as
strict as the official files allow; what those files get wrong themselves is repaired or dropped under a name, never in
silence. Beside the official fields, the parsers derive the ones that templates and heads need.
"""

import json
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from softprompt.data.validation import Record

ENTAILMENT: dict[object, str] = {"entailment": "entailment", "not_entailment": "not_entailment"}
THREE_WAY: dict[object, str] = {"entailment": "entailment", "contradiction": "contradiction", "neutral": "neutral"}
BOOLEAN: dict[object, str] = {True: "true", False: "false"}
CHOICE: dict[object, str] = {0: "choice1", 1: "choice2"}
BINARY: dict[object, str] = {0: "0", 1: "1"}
QUESTION: dict[object, str] = {"cause": "because", "effect": "so"}

PLACEHOLDER = "@placeholder"
HIGHLIGHT = re.compile(r"\s*\n?@highlight\s*")  # stands between the sentences of ReCoRD's summaries

EMPTY_ANSWER = "empty answer text"
PRONOUN_OFF_BY_ONE = "span2_index off by one"


@dataclass(frozen=True)
class Parsed:
    """An example: its id within the file, its label, its fields, and the text that it shares with its group."""

    id: str
    label: str
    fields: dict[str, str]
    shared: str | None = None
    dropped: str = ""  # the reason, if the example is to be left out
    repaired: str = ""


Parser = Callable[[Record, bool], Iterator[Parsed]]


def _label(record: Record, options: dict[object, str], labelled: bool) -> str:
    return record.choice("label", options) if labelled else ""


def _id(record: Record) -> str:
    return str(record.integer("idx")) if "idx" in record.value else str(record.line)


def _text(record: Record, field: str) -> str:
    return record.text(field).strip()


def _claim(text: str) -> str:
    """The statement ready for a question mark."""
    return text.rstrip(string.punctuation + " ")


def boolq(record: Record, labelled: bool) -> Iterator[Parsed]:
    """A file without `idx` (as some copies of the train set are) has its line numbers as ids."""
    fields = {"question": _text(record, "question"), "passage": _text(record, "passage")}
    yield Parsed(_id(record), _label(record, BOOLEAN, labelled), fields, shared=fields["passage"])


def _entailment(record: Record, options: dict[object, str], labelled: bool) -> Iterator[Parsed]:
    premise, hypothesis = _text(record, "premise"), _text(record, "hypothesis")
    fields = {"premise": premise, "hypothesis": hypothesis, "claim": _claim(hypothesis) or hypothesis}
    yield Parsed(str(record.integer("idx")), _label(record, options, labelled), fields)


def cb(record: Record, labelled: bool) -> Iterator[Parsed]:
    yield from _entailment(record, THREE_WAY, labelled)


def rte(record: Record, labelled: bool) -> Iterator[Parsed]:
    yield from _entailment(record, ENTAILMENT, labelled)


def copa(record: Record, labelled: bool) -> Iterator[Parsed]:
    premise, choice1, choice2 = (_text(record, field) for field in ("premise", "choice1", "choice2"))
    connective = record.choice("question", QUESTION)
    stem = _claim(premise)
    options = [_claim(choice[0].lower() + choice[1:]) for choice in (choice1, choice2)]
    fields = {
        "premise": premise,
        "choice1": choice1,
        "choice2": choice2,
        "question": record.text("question"),
        "connective": connective,
        "stem": stem,
        "option1": options[0],
        "option2": options[1],
        "cloze": f"{stem} {connective}",
        "pet_stem": f"{stem}," if connective == "so" else stem,  # PET writes "..., so", but "... because"
    }
    yield Parsed(str(record.integer("idx")), _label(record, CHOICE, labelled), fields)


def multirc(record: Record, labelled: bool) -> Iterator[Parsed]:
    """One example an answer. Its id is paragraph-question-answer, so that the part before the last dash names the
    question. The official train and test sets hold a few answers without any text: dropped."""
    paragraph, passage = record.integer("idx"), record.child("passage")
    text = _text(passage, "text")
    for question in passage.children("questions"):
        question_id = f"{paragraph}-{question.integer('idx')}"
        asked = _text(question, "question")
        for answer in question.children("answers"):
            reply = answer.text("text", may_be_empty=True).strip()
            fields = {"passage": text, "question": asked, "answer": reply, "question_answer": f"{asked} {reply}"}
            yield Parsed(
                f"{question_id}-{answer.integer('idx')}",
                _label(answer, BINARY, labelled),
                fields,
                shared=f"{paragraph}",
                dropped="" if reply else EMPTY_ANSWER,
            )


def wic(record: Record, labelled: bool) -> Iterator[Parsed]:
    word = _text(record, "word")
    for number in "12":
        _check_word_span(record, number)
    sentence1, sentence2 = _text(record, "sentence1"), _text(record, "sentence2")
    fields = {
        "word": word,
        "sentence1": sentence1,
        "sentence2": sentence2,
        "use1": f"{word}: {sentence1}",
        "use2": f"{word}: {sentence2}",
    }
    yield Parsed(str(record.integer("idx")), _label(record, BOOLEAN, labelled), fields)


def _check_word_span(record: Record, number: str) -> None:
    """The span has to be whole words; a form of the verb before `n't` counts as one ("doesn't" holds "does")."""
    sentence = record.text(f"sentence{number}")
    start, end = record.integer(f"start{number}"), record.integer(f"end{number}")
    span, length = sentence[start:end], len(sentence)
    if not start < end <= length:
        record.refuse(f"end{number}", end, f"an offset in {start + 1}..{length}, after start{number} = {start}")
    if span != span.strip() or (span[0].isalnum() and sentence[:start][-1:].isalnum()):
        record.refuse(f"start{number}", start, f"where a word of sentence{number} begins (it gives {span!r})")
    if sentence[end : end + 1].isalnum() and not sentence[end:].lower().startswith("n't"):
        record.refuse(f"end{number}", end, f"where a word of sentence{number} ends (it gives {span!r})")


def wsc(record: Record, labelled: bool) -> Iterator[Parsed]:
    words, target = record.text("text").split(), record.child("target")
    candidate = _find_candidate(target, words, labelled)
    position, repaired = _find_pronoun(target, words)
    pronoun = target.text("span2_text").strip()
    text = " ".join(words)
    marked = " ".join([*words[:position], f"*{words[position]}*", *words[position + 1 :]])
    fields = {
        "text": text,
        "marked": marked,
        "pronoun": pronoun,
        "candidate_text": candidate,
        "pronoun_in_text": f"{pronoun}: {text}",
    }
    label = _label(record, BOOLEAN, labelled)
    yield Parsed(str(record.integer("idx")), label, fields, shared=text, repaired=repaired)


def _bare(words: list[str]) -> list[str]:
    """Words without case, outer punctuation and possessive ending, as the spans of WSC differ from its texts."""
    stripped = [word.lower().strip(string.punctuation) for word in words]
    return [word.removesuffix("'s") for word in stripped]


def _find_candidate(target: Record, words: list[str], labelled: bool) -> str:
    """The first span with single blanks. Rows without labels may hold antecedents that the text never names in one
    piece ("Stalin and Kamenev"): there each word of it has to occur."""
    span = target.text("span1_text").split()
    index = target.integer("span1_index")
    if index >= len(words):
        target.refuse("span1_index", index, f"a position among the {len(words)} words of the text")
    found = words[index : index + len(span)]
    together = not labelled and "and" in span and set(_bare(span)) - {"and"} <= set(_bare(words))
    if _bare(found) != _bare(span) and not together:
        target.refuse("span1_text", " ".join(span), f"the words at span1_index = {index} ({' '.join(found)!r})")
    return " ".join(span)


def _find_pronoun(target: Record, words: list[str]) -> tuple[int, str]:
    """Position of the pronoun and what was mended: one official row (val 42) points at the word before it."""
    span, index = target.text("span2_text").strip(), target.integer("span2_index")
    if index >= len(words):
        target.refuse("span2_index", index, f"a position among the {len(words)} words of the text")
    bare = _bare(words)
    wanted = _bare([span])[0]
    if bare[index] == wanted:
        return index, ""
    beside = [near for near in (index + 1, index - 1) if 0 <= near < len(words) and bare[near] == wanted]
    if not beside:
        target.refuse("span2_text", span, f"the word at span2_index = {index} ({words[index]!r})")
    return beside[0], PRONOUN_OFF_BY_ONE


def record(row: Record, labelled: bool) -> Iterator[Parsed]:
    """One example a query, with the texts of the passage's entities as candidates and a JSON list of right ones as
    label. Offsets name the first and the last character."""
    passage = row.child("passage")
    text = passage.text("text")
    entities = list(dict.fromkeys(_span(entity, text) for entity in passage.children("entities")))
    read = HIGHLIGHT.sub(". ", text).strip()
    for query in row.children("qas"):
        asked = query.text("query")
        if PLACEHOLDER not in asked:
            query.refuse("query", asked, f"a text with {PLACEHOLDER}")
        before, _, after = asked.partition(PLACEHOLDER)
        fields = {
            "passage": read,
            "query": asked,
            "before": before.strip(),
            "after": after.lstrip(),
            "passage_and_query": f"{read} {asked}",
            "entities": json.dumps(entities, ensure_ascii=False),
        }
        answers = [_answer(answer, text, entities) for answer in query.children("answers")] if labelled else []
        label = json.dumps(sorted(set(answers)), ensure_ascii=False) if labelled else ""
        yield Parsed(f"{row.integer('idx')}-{query.integer('idx')}", label, fields, shared=text)


def _answer(answer: Record, text: str, entities: list[str]) -> str:
    found = answer.text("text")
    if found != _span(answer, text):
        answer.refuse("text", found, f"the passage between its offsets ({_span(answer, text)!r})")
    if found not in entities:
        answer.refuse("text", found, "one of the passage's entities")
    return found


def _span(entity: Record, text: str) -> str:
    start, end = entity.integer("start"), entity.integer("end")
    if not start <= end < len(text):
        entity.refuse("end", end, f"an offset in {start}..{len(text) - 1}")
    return text[start : end + 1]
