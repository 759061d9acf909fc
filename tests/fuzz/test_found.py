"""What fuzzing found, each in its smallest form: all of these ended in a traceback once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.fuzzing import write
from softprompt.data.examples import read_examples
from softprompt.data.lpaqa_prompts import weighed_wordings
from softprompt.data.prepared import load_vocabulary, read_manifest
from softprompt.data.sources.lock import Lock
from softprompt.data.vocabulary import read_vocabulary
from softprompt.errors import UserError
from softprompt.reporting.rendering.digests import PROVENANCE
from softprompt.result_files import read_table
from softprompt.results import KnownFacts, Prediction
from softprompt.tasks.load import load_data_section, load_task, read_definition
from softprompt.usage.verify import verify

HEADER = b"relation,template,split,p_at_1,n\n"
DEEP = b"[" * 100_000
FOUND: dict[str, tuple[str, bytes, Callable[[Path], Any]]] = {
    "an id of 5000 digits": (
        "train.tsv",
        b"index\tsentence1\tsentence2\tlabel\n" + b"9" * 5000 + b"\ta\tb\tentailment\n",
        lambda path: read_examples(load_data_section("glue", "rte"), path, labelled=True),
    ),
    "a weight beyond floats": (
        "P19.jsonl",
        json.dumps({"template": "[X] of [Y]", "weight": 10**400}).encode(),
        weighed_wordings,
    ),
    "a deep vocabulary": ("lama/vocab/29k-vocab.json", DEEP, lambda path: read_vocabulary(path.parents[2], "29k")),
    "deep records of downloads": ("downloads.lock.json", DEEP, lambda path: Lock(path).recorded("a")),
    "a whole number that is none": ("facts.csv", HEADER + b"P1,a,test,0.5,inf\n", lambda path: table(path)),
    "a whole number that is too long": ("facts.csv", HEADER + b"P1,a,test,0.5," + b"9" * 40, lambda path: table(path)),
    "a text for a number": ("facts.csv", HEADER + b"P1,a,test,x,3\n", lambda path: table(path)),
    "predictions cut short": ("a.parquet", b"PAR1", lambda path: read_table(path, Prediction)),
    "a deep manifest": ("manifest.json", DEEP, lambda path: read_manifest(path.parent)),
    "an empty vocabulary": ("vocabulary.json", b"", lambda path: load_vocabulary(path.parent)),
    "templates without text": (
        "lama/P1/templates.json",
        b'{"templates": [{"id": "a"}]}',
        lambda path: load_task("lama", "P1", path.parents[2]),
    ),
    "prompts of no form": (
        "lama/P1/prompts.json",
        b'{"prompts": [1]}',
        lambda path: load_task("lama", "P1", with_templates(path).parents[2]),
    ),
    "a key that is no word": ("rte.yaml", b'"\\x1f": a\n', lambda path: read_definition(path, "superglue", "rte")),
    "a report's digests in other letters": (PROVENANCE, b'{"a": "\xea"}', lambda path: verified(path)),
    "deep digests of a report": (PROVENANCE, DEEP, lambda path: verified(path)),
}


def table(path: Path) -> Any:
    return read_table(path, KnownFacts)


def verified(path: Path) -> Any:
    from helpers import synthetic_results as synthetic
    from softprompt.paths import Paths

    path.parent.joinpath("reports").mkdir()
    path.rename(path.parent / "reports" / path.name)
    return verify(Paths(path.parent), synthetic.context_of(synthetic.World()))


def with_templates(path: Path) -> Path:
    template = {"id": "lama", "text": "{subject} is in {mask} .", "source": "LAMA"}
    write(path.with_name("templates.json"), json.dumps({"type": "1-1", "templates": [template]}).encode())
    return path


@pytest.mark.parametrize("case", FOUND)
def test_what_fuzzing_found_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    name, content, work = FOUND[case]
    with pytest.raises(UserError) as refusal:
        work(write(tmp_path / name, content))
    assert str(refusal.value).isprintable()
    assert Path(name).name in str(refusal.value)
