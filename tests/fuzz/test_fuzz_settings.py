"""params.yaml, profiles, definitions of tasks and model folders with any damage: read, or refused line by line."""

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from helpers.fuzzing import changed, damaged, fuzz, unless_refused, write
from helpers.paths import ROOT
from helpers.profiles import fixture_content
from softprompt.backbones.snapshots import weights_in
from softprompt.config import BackboneSettings, Params
from softprompt.config.names import is_name
from softprompt.config.parsing import parse_params
from softprompt.config.profiles import profile_text
from softprompt.data.sources.lock import Lock
from softprompt.experiments.checks import load_checked_params
from softprompt.tasks.load import DEFINITIONS, _content, _data_section, _definition_files, read_definition

MANY = 200  # lines of a message: one for each fault
CONTENT = fixture_content()
TEXT = yaml.safe_dump(CONTENT).encode()
SECTIONS = sorted(CONTENT)
BASE = (ROOT / "profiles" / "base.yaml").read_bytes()
OVERLAY = (ROOT / "profiles" / "multitask.yaml").read_bytes()
DEFINED = {path.stem: path.read_bytes() for path in sorted(DEFINITIONS.glob("*.yaml"))}
LOCAL = BackboneSettings(source="local", kind="masked", path="model")
INDEX = {"metadata": {"total_size": 3}, "weight_map": {"one": "model-00001-of-00001.safetensors"}}


def as_yaml(content: Any) -> bytes:
    return yaml.dump(content, Dumper=yaml.SafeDumper).encode("utf-8", "backslashreplace")


@fuzz(section=st.sampled_from(SECTIONS), data=st.data())
def test_sections_of_params(tmp_path: Path, section: str, data: st.DataObject) -> None:
    content = {**CONTENT, section: data.draw(changed(CONTENT[section]))}
    params = unless_refused(lambda: load_checked_params(write(tmp_path / "params.yaml", as_yaml(content))), lines=MANY)
    assert params is None or fits(params)


@fuzz(content=damaged(TEXT))
def test_bytes_of_params(tmp_path: Path, content: bytes) -> None:
    params = unless_refused(lambda: load_checked_params(write(tmp_path / "params.yaml", content)), lines=MANY)
    assert params is None or fits(params)


def fits(params: Params) -> bool:
    """What was read can be written, and no name in it needs quoting."""
    names = [params.profile, params.budget, *params.run.suites, *params.run.backbones, *params.run.methods]
    json.dumps(params.model_dump(mode="json"), allow_nan=False, ensure_ascii=False).encode()
    return all(map(is_name, [*names, *params.budgets, *params.backbones, *params.methods]))


@fuzz(base=st.booleans(), data=st.data())
def test_profiles(tmp_path: Path, base: bool, data: st.DataObject) -> None:
    write(tmp_path / "base.yaml", data.draw(damaged(BASE)) if base else BASE)
    write(tmp_path / "multitask.yaml", OVERLAY if base else data.draw(damaged(OVERLAY)))
    text = unless_refused(lambda: profile_text("multitask", tmp_path))
    if text is not None:
        unless_refused(lambda: parse_params(text, "params.yaml"), lines=MANY)


@fuzz(name=st.sampled_from(sorted(DEFINED)), data=st.data())
def test_definitions(tmp_path: Path, name: str, data: st.DataObject) -> None:
    mutated = changed(json.loads(json.dumps(yaml.safe_load(DEFINED[name])))).map(as_yaml)
    path = write(tmp_path / f"{name}.yaml", data.draw(damaged(DEFINED[name]) | mutated))
    for remembered in (_definition_files, _data_section):
        remembered.cache_clear()
    unless_refused(lambda: read_definition(path, "superglue", name))
    content = unless_refused(lambda: _content(path)) or {}
    if content.get("data"):
        unless_refused(lambda: _data_section(tmp_path, "superglue", name))


@fuzz(content=damaged(json.dumps(INDEX).encode()) | changed(INDEX).map(json.dumps).map(str.encode))
def test_indices_of_weights(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "model" / "model-00001-of-00001.safetensors", b"")
    write(tmp_path / "model" / "model.safetensors.index.json", content)
    write(tmp_path / "x", b"")
    files = unless_refused(lambda: weights_in(tmp_path / "model", LOCAL)) or []
    assert set(files) <= {path.name for path in (tmp_path / "model").iterdir()}


@fuzz(content=damaged(b'{"https://a.org/b": "0123"}'))
def test_recorded_downloads(tmp_path: Path, content: bytes) -> None:
    lock = Lock(write(tmp_path / "downloads.lock.json", content))
    unless_refused(lambda: lock.recorded("https://a.org/b"))
