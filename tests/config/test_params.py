"""Wrong settings are refused in one line that names the key, the value and a valid one, before any work starts."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.profiles import fixture_content, fixture_params
from softprompt.errors import UserError
from softprompt.experiments import checks
from softprompt.experiments.checks import load_checked_params
from softprompt.methods import build_method


def changed(tmp_path: Path, keys: str, value: Any) -> Path:
    """The embedded profile with one key set, added, or removed (value None)."""
    content = fixture_content()
    *parents, last = keys.split(".")
    section = content
    for key in parents:
        section = section[key]
    if value is None:
        del section[last]
    else:
        section[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        ("sedes", [1], "unknown key sedes .* valid keys here: .*seeds"),
        ("methods.p_tuning.lenght", 3, r"methods.p_tuning: unknown key lenght \(value 3\); valid keys here: .*encoder"),
        (
            "methods.p_tuning.search.prompt_length",
            {"low": 9, "high": 3},
            r"p_tuning: search.prompt_length: the range is upside down: low 9 is above high 3; write low: 3",
        ),
        (
            "methods.p_tuning.search.learning_rate",
            {"low": -1.0, "high": 1.0},
            r"search.learning_rate allows -1.0: .*greater than 0",
        ),
        (
            "methods.p_tuning.search.learning_rate",
            {"low": 0.0, "high": 1.0, "log": True},
            r"search.learning_rate: log needs low above 0, found 0.0",
        ),
        ("methods.p_tuning.search.learning_rate", 5, r"search.learning_rate is 5: Input should be a valid dictionary"),
        ("methods.p_tuning.search.learning_rate", {"low": 1.0}, r"key search.learning_rate.high is missing"),
        (
            "methods.p_tuning.search.prompt_length",
            {"low": 2, "high": 2.5},
            r"search.prompt_length allows 2.5: .*integer",
        ),
        (
            "methods.p_tuning.search.prompt_length",
            {"low": 0, "high": 2},
            r"search.prompt_length allows 0: .*than or equal",
        ),
        (
            "methods.prompt_tuning.search.initialisation",
            ["word"],
            r"initialisation has a value and stands in search too",
        ),
        (
            "methods.p_tuning.search.lenght",
            [1],
            r"search names lenght, which cannot be searched .* that can: .*encoder",
        ),
        ("methods.p_tuning.search.recipe", [1], r"search names recipe, which cannot be searched here"),
        ("methods.p_tuning_v2.search.answer", ["head"], r"search names answer, which cannot be searched here"),
        ("methods.in_context.examples", 8, r"examples has a value and stands in search too"),
        (
            "methods.p_tuning.search.prompt_length",
            None,
            r"paper.values.\w+ and search must name .* has prompt_length",
        ),
        ("methods.lpaqa.search", {}, r"methods.lpaqa: key learning_rate is missing; write a value such as"),
        (
            "methods.p_tuning.paper.values.masked.encoder",
            "mlp",
            r"paper.values.masked and search must name the same .*has encoder",
        ),
        ("methods.p_tuning.paper.steps", None, "methods.p_tuning: key paper.steps is missing"),
        ("methods.p_tuning.encoder", "gru", "encoder is 'gru': .*'lstm', 'mlp' or 'identity'"),
        ("methods.p_tuning.search.prompt_length.high", 100, "at most 64 leave room for the input"),
        ("methods.p_tuning_v2.answer", "word", "methods.p_tuning_v2: answer is 'word': .*'verbalizer' or 'head'"),
        (
            "methods.p_tuning.paper.values.masked.learning_rate",
            1.0,
            "paper.values.masked.learning_rate is 1.0, outside its range",
        ),
        (
            "methods.p_tuning.paper.values.masked.learning_rate",
            "1e-5",
            "is the text '1e-5', not a number; .* write 1.0e-5",
        ),
        ("methods.p_tunning", {}, "methods.p_tunning: no such method; known: .*p_tuning"),
        ("run.trained", ["p_tunning"], "run.trained names 'p_tunning', which has no section; known: .*p_tuning"),
        ("run.backbones", ["bert"], "run.backbones names 'bert', which has no section; known: tiny_bert"),
        ("budget", "big", "budget names 'big', which has no section; known: paper, small, smoke"),
        ("budgets.small.trials", 1, "budgets.small.trials is 1: .*greater than or equal to 2"),
        ("suites.superglue.tasks", ["rtee"], "suites.superglue.tasks names 'rtee'; known: boolq"),
        ("suites.lama.vocabulary", "30k", "vocabulary is '30k': .*'29k', '34k', 'common' or 'full'"),
        ("suites.superglue.vocabulary", "29k", r"suites\.superglue\.vocabulary is a key of suites\.lama only"),
        ("suites.lama.split_seed", 1, r"suites\.lama\.split_seed is a key of suites\.fewglue only; remove it"),
        ("suites.superglue.source", "web", "suites.superglue.source is 'web': .*'local', 'hub' or 'official'"),
        ("suites.superglue.path", "data/mine", "`path` belongs to source: local; source: embedded reads no folder"),
        (
            "suites.glue",
            {"source": "embedded"},
            "suites.glue.source is 'embedded', but the generated world has no GLUE",
        ),
        ("suites.glue", {"source": "hub", "tasks": ["cb"]}, "suites.glue.tasks names 'cb'; known: mrpc, rte, sst2"),
        (
            "suites.fewglue",
            {"source": "hub"},
            "suites.fewglue.source is 'hub', but .* is not on the hub; choose official",
        ),
        ("suites.squad", {"source": "hub"}, "suites.squad.*'fewglue', 'glue' or 'extra'"),
        ("tuning.seed", 3, "seed belongs to scheme: shared; .* remove it"),
        ("tuning.scheme", "shared", "scheme: shared needs a seed of its own, such as seed: 1000"),
        ("tuning", {"scheme": "shared", "seed": 3}, "tuning.seed 3 is also in seeds"),
        ("seeds", [], "seeds is .*at least 1 item"),
        ("backbones.tiny_bert.architecture", None, "source: pretrain needs the sections"),
        ("backbones.tiny_bert.architecture.type", "xlnet", "type is .xlnet.*; write one of bert, "),
        ("device.type", "tpu", "device.type is 'tpu': .*'auto', 'cpu' or 'cuda'"),
        ("profile", None, "key profile is missing"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_key_its_value_and_a_valid_one(
    tmp_path: Path, keys: str, value: Any, expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        load_checked_params(changed(tmp_path, keys, value))


def test_a_prefix_takes_positions_as_any_prompt_does(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"methods.p_tuning_v2: prompt_length may be 200, but .* leave room for the"):
        load_checked_params(changed(tmp_path, "methods.p_tuning_v2.search.prompt_length.high", 200))


def test_a_choice_that_a_setting_cannot_be_is_refused(tmp_path: Path) -> None:
    section = fixture_content()["methods"]["p_tuning"] | {"paper": None}
    del section["encoder"]
    section["search"]["encoder"] = ["lstm", "gru"]
    with pytest.raises(UserError, match=r"search.encoder allows 'gru': Input should be 'lstm', 'mlp' or 'identity'"):
        load_checked_params(changed(tmp_path, "methods.p_tuning", section))


@pytest.mark.parametrize(
    ("method", "search", "types"),
    [
        ("p_tuning", {"encoder": ["mlp", "lstm"], "learning_rate": {"low": 1, "high": 2}}, (str, float)),
        ("prompt_pool", {"pool_size": {"low": 2, "high": 9}, "learning_rate": {"low": 0.1, "high": 0.2}}, (int, float)),
        ("pet", {"temperature": {"low": 1, "high": 4}, "backbone_learning_rate": [1.0e-5, 1]}, (float, float)),
        ("in_context", {"examples": {"low": 1, "high": 8}}, (int,)),
        ("p_tuning_v2", {"reparametrisation": [True, False]}, (bool,)),
    ],
)
def test_any_setting_can_be_searched_in_its_own_type(
    tmp_path: Path, method: str, search: dict[str, Any], types: tuple[type, ...]
) -> None:
    section = fixture_content()["methods"][method]
    kept = {key: value for key, value in section.items() if key not in (*search, "paper", "search")}
    if method != "in_context":
        kept |= {"learning_rate": 0.01} if "learning_rate" not in search else {}
    params = load_checked_params(changed(tmp_path, f"methods.{method}", kept | {"search": search}))
    settings = build_method(method, params.methods[method]).settings
    assert tuple(type(getattr(settings, name)) for name in search) == types
    chosen = settings.with_values({name: settings.values_of(name)[-1] for name in search})
    assert [getattr(chosen, name) for name in search] == [settings.values_of(name)[-1] for name in search]
    assert chosen.search == {}


@pytest.mark.parametrize("source", ["local", "hub", "official"])
def test_glue_is_a_suite_from_every_real_source(tmp_path: Path, source: str) -> None:
    params = load_checked_params(changed(tmp_path, "suites.glue", {"source": source}))
    assert params.suites["glue"].source == source


def test_a_task_without_any_template_for_a_backbone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in checks.DEFINITIONS.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    cb = yaml.safe_load((tmp_path / "cb.yaml").read_text())
    for template in (*cb["manual"], *cb["p_tuning"], cb["plain"]):
        template["kinds"] = ["masked"]
    (tmp_path / "cb.yaml").write_text(yaml.safe_dump(cb))
    monkeypatch.setattr(checks, "DEFINITIONS", tmp_path)
    with pytest.raises(UserError, match="cb has no template for causal backbones such as tiny_gpt2"):
        fixture_params()


def test_a_missing_or_broken_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make use PROFILE=embedded"):
        load_checked_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(UserError, match="is not YAML"):
        load_checked_params(tmp_path / "params.yaml")
