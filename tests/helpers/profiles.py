"""Shipped profiles as params.yaml would hold them."""

from collections.abc import Iterable
from typing import Any

import yaml

from helpers.paths import ROOT
from softprompt.config import Params
from softprompt.config.parsing import parse_params
from softprompt.config.profiles import profile_text
from softprompt.experiments.checks import checked
from softprompt.methods import METHODS, TrainedMethod


def profile_content(name: str) -> dict[str, Any]:
    """The merged sections, to be changed by a test."""
    return yaml.safe_load(profile_text(name, ROOT / "profiles"))


def profile_params(name: str) -> Params:
    return checked(parse_params(profile_text(name, ROOT / "profiles"), name), name)


def listed(methods: Iterable[str]) -> dict[str, list[str]]:
    """The two lists of `run` that these methods belong to."""
    trained = [name for name in methods if issubclass(METHODS[name], TrainedMethod)]
    return {"untrained": [name for name in methods if name not in trained], "trained": trained}
