"""The fixture profile, which tests run on, and the shipped ones, as params.yaml would hold them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from helpers.paths import ROOT
from softprompt.config import Params
from softprompt.config.parsing import parse_params
from softprompt.config.profiles import merged, profile_text
from softprompt.experiments.checks import checked
from softprompt.methods import METHODS, TrainedMethod

FIXTURE = Path(__file__).with_name("fixture.yaml")


def fixture_content() -> dict[str, Any]:
    """The merged sections of the fixture profile, to be changed by a test."""
    base, overlay = (YAML().load(path) for path in (ROOT / "profiles" / "base.yaml", FIXTURE))
    return json.loads(json.dumps(merged(base, overlay)))


def fixture_params() -> Params:
    return checked(parse_params(yaml.safe_dump(fixture_content()), FIXTURE.name), FIXTURE.name)


def profile_content(name: str) -> dict[str, Any]:
    """The merged sections, to be changed by a test."""
    return yaml.safe_load(profile_text(name, ROOT / "profiles"))


def profile_params(name: str) -> Params:
    return checked(parse_params(profile_text(name, ROOT / "profiles"), name), name)


def listed(methods: Iterable[str]) -> dict[str, list[str]]:
    """The two lists of `run` that these methods belong to."""
    trained = [name for name in methods if issubclass(METHODS[name], TrainedMethod)]
    return {"untrained": [name for name in methods if name not in trained], "trained": trained}
