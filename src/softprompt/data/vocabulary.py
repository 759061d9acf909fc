"""LAMA's restricted vocabularies: the words that every backbone chooses its answers among."""

import json
from pathlib import Path

from softprompt.config import Vocabulary
from softprompt.data.validation import RESTORE
from softprompt.errors import UserError, reason_of
from softprompt.tasks.task import WORD_START
from softprompt.user_files import is_there, read_user_text

FILES: dict[Vocabulary, str] = {"29k": "29k-vocab.json", "34k": "34k-vocab.json", "common": "common_vocab_cased.txt"}


def read_vocabulary(root: Path, name: Vocabulary) -> list[list[str]] | None:
    """Lists of words, each sorted; None for `full`.

    29k (P-tuning's shared file) and `common` (LAMA's) are one list, of the words that all their models have as one
    token. In P-tuning's 34k file each model has its own list, which is kept as the model writes its tokens.
    """
    if name == "full":
        return None
    path = root / "lama" / "vocab" / FILES[name]
    if not is_there(path):
        raise UserError(
            f"suites.lama.vocabulary is {name!r}, but there is no file {path}; put it there or set vocabulary: full"
        )
    words = [_lines(path)] if path.suffix == ".txt" else _lists(path, shared=name == "29k")
    if not any(words):
        raise UserError(f"{path}: no words in it; expected a vocabulary; {RESTORE}")
    return sorted(map(sorted, words))


def _lines(path: Path) -> set[str]:
    """A word a line."""
    return {line.strip() for line in read_user_text(path, "a word a line").splitlines()} - {""}


def _lists(path: Path, *, shared: bool) -> list[set[str]]:
    """An object of model name -> list of tokens as that model writes them: these lists, or what they all share."""
    try:
        content = json.loads(read_user_text(path, "a vocabulary"))
        lists = [{str(token) for token in tokens} for tokens in content.values()]
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        expected = f"expected an object of model name -> list of tokens; {RESTORE}"
        raise UserError(f"{path}: not a vocabulary file ({reason_of(error)}); {expected}") from None
    if not shared or not lists:
        return lists
    return [set.intersection(*({token.removeprefix(WORD_START) for token in tokens} for tokens in lists))]
