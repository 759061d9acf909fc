"""What CONTRIBUTING promises: a new task is one definition, and for a new file format one parser."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from helpers.profiles import fixture_params
from softprompt.backbones.backbone import Backbone
from softprompt.config import Params, SuiteSettings, WorldSettings
from softprompt.data import prepared
from softprompt.data.formats import FORMATS, Format, Parsed
from softprompt.data.prepare import prepare_suite
from softprompt.data.validation import RawRecord
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import TrainedCells
from softprompt.experiments.train import train_method
from softprompt.methods import build_method
from softprompt.paths import Paths
from softprompt.tasks import load
from softprompt.tasks.load import load_data_section, load_task
from softprompt.usage.inputs import read_inputs
from softprompt.usage.submission import write_submission

PRAISE = """
version: 1
fields: [review, place, ready]
head_fields: [review]
labels: [blame, praise]
verbalizer: {blame: "No", praise: "Yes"}
metrics: [accuracy]
manual:
  - {id: asked, text: "{ready} Is that praise? {mask}.", source: here}
p_tuning:
  - {id: slots, text: "{review} {prompt} {mask}", source: here}
plain: {id: plain, text: "{review} {mask}", source: here}
data:
  folder: Praise
  format: texts
  columns: {review: Text}
  derived: {ready: {rule: unpunctuated, of: review}}
  label_column: Verdict
  label_values: {blame: 0, praise: 1}
  group: place
  licence: CC0
  inputs: [review, place]
  submission: {file: praise.jsonl, labels: {blame: -1, praise: 1}}
  suites: {superglue: {}}
"""
RATED_PAIRS = PRAISE.replace("folder: Praise", "folder: Pairs").replace("format: texts", "format: rated_pairs")


class RatedPairs(Format):
    """The one parser of the second task: rows [[review, place], stars]."""

    def parse(self, record: RawRecord, *, labelled: bool) -> Iterator[Parsed]:
        review, place = record.texts("pair")
        fields = {"review": review, "place": place, "ready": review.rstrip(".")}
        yield Parsed(self.id_of(record), self.label_of(record, labelled=labelled), fields)

    def official_row(self, given: dict[str, str]) -> dict[str, object]:
        return {"pair": [given["review"], given["place"]]}


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of all definitions, in its place."""
    shutil.copytree(load.DEFINITIONS, tmp_path / "definitions")
    monkeypatch.setattr(load, "DEFINITIONS", tmp_path / "definitions")
    return tmp_path / "definitions"


def write_rows(folder: Path, *, pairs: bool) -> None:
    """Official files of either toy task; two reviews stand for each place."""
    folder.mkdir(parents=True)
    for name, count in (("train", 24), ("val", 6), ("test", 4)):
        rows = []
        for index in range(count):
            review, place = f"The soup was {('bad', 'good')[index % 2]} {name} {index}.", f"{name} inn {index // 2}"
            row: dict[str, object] = {"pair": [review, place]} if pairs else {"Text": review, "place": place}
            rows.append(row | {"idx": index} | ({} if name == "test" else {"Verdict": index % 2}))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def prepare(task: str, folder: Path) -> tuple[Params, Paths]:
    params, paths = fixture_params(), Paths(folder)
    settings = SuiteSettings(source="local", path=str(folder / "raw"), tasks=(task,), dev_share=0.25)
    prepare_suite("superglue", settings, WorldSettings(), paths)
    run = params.run.model_copy(update={"suites": ("superglue",)})
    return params.model_copy(update={"run": run, "seeds": (0,)}), paths


@pytest.mark.parametrize(
    ("name", "definition", "folder"), [("praise", PRAISE, "Praise"), ("pairs", RATED_PAIRS, "Pairs")]
)
def test_one_definition_takes_a_task_from_raw_files_to_the_leaderboard(
    name: str,
    definition: str,
    folder: str,
    definitions: Path,
    gpt2: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name == "pairs":
        monkeypatch.setitem(FORMATS, "rated_pairs", RatedPairs)
    (definitions / f"{name}.yaml").write_text(definition)
    write_rows(tmp_path / "raw" / "superglue" / folder, pairs=name == "pairs")
    params, paths = prepare(name, tmp_path)
    suite = paths.suite("superglue")
    train, dev = (prepared.load_split(suite, name, split) for split in ("train", "dev"))
    assert not set(train["group"]) & set(dev["group"])  # reviews of one place stay together
    assert dict(dev["label"].value_counts()) == {"blame": 3, "praise": 3}
    assert prepared.read_manifest(suite)["tasks"][name]["licence"] == "CC0"

    task = load_task("superglue", name, paths.prepared)
    inputs = read_inputs(task, None, ["review=It was cold.", "place=inn"])
    assert inputs.loc[0, ["review", "place", "ready"]].tolist() == ["It was cold.", "inn", "It was cold"]

    train_method(params, "manual_best", build_method("manual_best", {}), gpt2, paths)
    (path,) = write_submission(TrainedCells(params, "manual_best", gpt2, paths), 0, tmp_path / "out")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert path.name == "praise.jsonl"
    assert [row["idx"] for row in rows] == [0, 1, 2, 3]
    assert {row["label"] for row in rows} <= {-1, 1}


def changed_data(changes: dict[str, object]) -> str:
    content = yaml.safe_load(PRAISE)
    content["data"] |= changes
    return yaml.safe_dump({**content, "data": {key: value for key, value in content["data"].items() if value != "-"}})


CONTRADICTIONS: dict[str, tuple[dict[str, object], str]] = {
    "unknown key": ({"folders": "Praise"}, r"`data\.folders` is 'Praise'"),
    "key of the definition": ({"fields": ["review"]}, r"`data\.fields` belongs to the definition itself; remove it"),
    "no folder": ({"folder": "-"}, r"`data\.folder`.*Field required"),
    "unknown key of a suite": (
        {"suites": {"superglue": {"url": "x"}}},
        r"`data\.suites\.superglue\.url` is 'x'",
    ),
    "unknown rule": ({"derived": {"ready": {"rule": "upper", "of": "review"}}}, r"`data\.derived\.ready\.rule`"),
    "rule on no field": (
        {"derived": {"ready": {"rule": "continued", "of": "text"}}},
        r"`data\.derived\.of` names 'text'; expected one of review, place",
    ),
    "column of no field": ({"columns": {"text": "Text"}}, r"`data\.columns` names 'text'; expected one of review"),
    "group of no field": ({"group": "Text"}, r"`data\.group` names 'Text'"),
    "unit of no part": ({"unit": "question"}, r"`data\.unit` names 'question'; expected one of example"),
    "value of no label": ({"label_values": {"good": 1}}, r"`data\.label_values` names 'good'; expected one of blame"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_contradictory_section_is_refused_by_file_and_key(case: str, definitions: Path) -> None:
    changes, message = CONTRADICTIONS[case]
    (definitions / "praise.yaml").write_text(changed_data(changes))
    with pytest.raises(UserError, match=rf"praise\.yaml: {message}"):
        load_data_section("superglue", "praise")


def test_an_unknown_format_is_refused_with_the_known_ones(definitions: Path, tmp_path: Path) -> None:
    (definitions / "pairs.yaml").write_text(RATED_PAIRS)
    write_rows(tmp_path / "raw" / "superglue" / "Pairs", pairs=True)
    with pytest.raises(UserError, match=r"`data\.format` is 'rated_pairs'; expected one of copa, multirc, record"):
        prepare("pairs", tmp_path)


def test_two_definitions_of_one_task_are_refused(definitions: Path) -> None:
    (definitions / "more").mkdir()
    shutil.copy(definitions / "rte.yaml", definitions / "more" / "rte.yaml")
    with pytest.raises(UserError, match=r"suite superglue has a task 'rte' already, in .*rename the file"):
        load_data_section("superglue", "rte")
