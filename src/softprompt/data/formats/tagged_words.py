"""Sentences as lists of words with a list of tags, one a word."""

import json
from collections.abc import Iterator

from softprompt.data.formats.file_format import FORMATS, Format, Parsed
from softprompt.data.validation import RawRecord


@FORMATS.register("tagged_words")
class TaggedWords(Format):
    """The label is the JSON list of tags, the only field the words joined by blanks."""

    def parse(self, record: RawRecord, *, labelled: bool) -> Iterator[Parsed]:
        words = record.texts("words")
        if not all(len(word.split()) == 1 for word in words):
            record.refuse("words", words, "words without blanks")
        label = json.dumps(self._tags(record, len(words))) if labelled else ""
        yield Parsed(self.id_of(record), label, {"words": " ".join(words)})

    def _tags(self, record: RawRecord, count: int) -> list[str]:
        tags = record.texts("tags")
        unknown = [tag for tag in tags if tag not in self.data.labels]
        if unknown:
            record.refuse("tags", unknown[0], f"some of {', '.join(self.data.labels)}")
        if len(tags) != count:
            record.refuse("tags", tags, f"a tag for each of the {count} words")
        return tags
