"""A profile is base.yaml with its overlay: the rules of merging, the shipped profiles, and `softprompt use`."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML

from helpers.paths import ROOT
from helpers.profiles import profile_params
from softprompt.__main__ import main
from softprompt.config import Params
from softprompt.config.profiles import merged, profile_names, profile_text
from softprompt.errors import UserError
from softprompt.methods import METHODS

SHIPPED = ROOT / "profiles"
BASE = """\
# This header stays behind.
budgets: # of every method
  smoke: {trials: 2, steps: 20}

seeds: [0, 1]   # of the reported cells
methods:
  manual: {}
  p_tuning:
    length: {low: 1, high: 9} # searched
    rate: 1.0e-5 # of base
    answer: head # or verbalizer
"""
OVERLAY = """\
# For one large GPU.
profile: large
seeds: [0]
budgets:
  small: {trials: 4}

methods:
  manual: null
  p_tuning:
    length: {high: 24}
    rate: 5.0e-4 # of the overlay
    steps: 3
"""
MERGED = """\
# The settings of the suite. This file is the profile `large`; `make use PROFILE=...` puts another one in its place.
# For one large GPU.
profile: large
seeds: [0] # of the reported cells

budgets: # of every method
  smoke: {trials: 2, steps: 20}
  small: {trials: 4}

methods:
  p_tuning:
    length: {low: 1, high: 24} # searched
    rate: 5.0e-4 # of the overlay
    answer: head # or verbalizer
    steps: 3
"""


def written(folder: Path, overlay: str, base: str = BASE) -> Path:
    (folder / "base.yaml").write_text(base)
    (folder / "large.yaml").write_text(overlay)
    return folder


def test_the_overlay_goes_into_base_with_the_comments_of_both(tmp_path: Path) -> None:
    assert profile_text("large", written(tmp_path, OVERLAY)) == MERGED


def test_merging_changes_neither_file() -> None:
    base, overlay = YAML().load(BASE), YAML().load(OVERLAY)
    once, twice = merged(base, overlay), merged(base, overlay)
    assert once == twice
    assert base == YAML().load(BASE)
    assert overlay == YAML().load(OVERLAY)


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        (
            "profile: large\nseed: null\n",
            r"large\.yaml over base\.yaml: seed is null, .* but there is none of that name",
        ),
        (
            "profile: large\nmethods: {p_tuning: {x: null}}\n",
            r"large\.yaml over base\.yaml: methods\.p_tuning\.x is null",
        ),
        ("profile: small\n", r"large\.yaml: profile is 'small', but the file's name says 'large'"),
        ("seeds: [0]\n", r"large\.yaml: profile is None, but"),
        ("- profile\n", r"large\.yaml must be a mapping of sections, found CommentedSeq"),
        ("seeds: [0\n", r"large\.yaml is not YAML: .*line 1"),
        ("seeds: [0]\nseeds: [1]\n", r"large\.yaml is not YAML: .*duplicate key"),
    ],
)
def test_a_wrong_overlay_is_one_line(tmp_path: Path, overlay: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as raised:
        profile_text("large", written(tmp_path, overlay))
    assert "\n" not in str(raised.value)


def test_params_yaml_is_the_embedded_profile() -> None:
    assert (ROOT / "params.yaml").read_text() == profile_text("embedded", SHIPPED)


@pytest.mark.parametrize("name", profile_names(SHIPPED))
def test_every_shipped_profile_is_valid_and_has_a_section_of_every_method(name: str) -> None:
    params = profile_params(name)
    assert params.profile == name
    assert set(params.methods) == set(METHODS)


@pytest.mark.parametrize("name", profile_names(SHIPPED))
def test_a_papers_values_have_a_budget_of_their_horizon(name: str) -> None:
    params = profile_params(name)
    horizons = {(budget.steps, budget.batch_size) for budget in params.budgets.values()}
    papers = {method: section["paper"] for method, section in params.methods.items() if section.get("paper")}
    assert {(paper["steps"], paper["batch_size"]) for paper in papers.values()} <= horizons
    assert name != "paper" or set(papers) == {"prompt_tuning", "p_tuning"}


def settings(section: dict[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """The keys that hold no mapping, each with its full name; an empty mapping counts as a value."""
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from settings(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", value


@pytest.mark.parametrize("name", profile_names(SHIPPED))
def test_an_overlay_repeats_nothing_of_base(name: str) -> None:
    base, overlay = (dict(settings(yaml.safe_load((SHIPPED / f"{stem}.yaml").read_text()))) for stem in ("base", name))
    assert [key for key, value in overlay.items() if key in base and base[key] == value] == []


@pytest.mark.parametrize("name", profile_names(SHIPPED))
def test_a_merged_profile_holds_every_comment_of_its_overlay_and_every_section_in_order(name: str) -> None:
    text = profile_text(name, SHIPPED)
    for line in (SHIPPED / f"{name}.yaml").read_text().splitlines():
        assert line.partition("#")[2] in text
    assert list(yaml.safe_load(text)) == list(Params.model_fields)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with the shipped profiles and some params.yaml, as the working directory."""
    shutil.copytree(SHIPPED, tmp_path / "profiles")
    (tmp_path / "params.yaml").write_text("before\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_use_puts_a_profile_in_place(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["use", "mini"]) == 0
    assert capsys.readouterr().out == "params.yaml is the profile mini\n"
    assert (project / "params.yaml").read_text() == profile_text("mini", SHIPPED)
    assert sorted(path.name for path in project.iterdir()) == ["params.yaml", "profiles"]


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("sedes: [0]\n", "unknown key sedes (value [0]); valid keys here: profile, purpose, run, seeds"),
        ("methods: {p_tuning: {lenght: 3}}\n", "methods.p_tuning: unknown key lenght (value 3); valid keys here: "),
        ("methods: {p_tunning: {}}\n", "methods.p_tunning: no such method; known: "),
        ("device: {fleet_member: 8}\n", "unknown key device.fleet_member (value 8); valid keys here: type, workers"),
    ],
)
def test_use_leaves_params_alone_where_the_overlay_is_wrong(
    project: Path, capsys: pytest.CaptureFixture[str], added: str, expected: str
) -> None:
    with (project / "profiles" / "multitask.yaml").open("a") as overlay:
        overlay.write(added)
    assert main(["use", "multitask"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: profiles/multitask.yaml over base.yaml: {expected}")
    assert shown.count("\n") == 1
    assert (project / "params.yaml").read_text() == "before\n"


@pytest.mark.parametrize("name", ["tiny", "base", "", "../profiles/mini"])
def test_an_unknown_profile_is_answered_with_those_there_are(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["use", name]) == 1
    known = "embedded, facts, local, mini, multitask, paper"
    assert capsys.readouterr().err == f"error: no profile {name!r} in profiles; there are: {known}\n"
    assert (project / "params.yaml").read_text() == "before\n"
