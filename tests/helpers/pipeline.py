"""Settings and surroundings for tests that run stages in processes of their own."""

import os
import sys
from pathlib import Path
from typing import Any

from helpers.profiles import fixture_content, listed


def small_params() -> dict[str, Any]:
    """The fixture profile, as small as it can be and still go through every stage."""
    params: dict[str, Any] = fixture_content()
    params["run"] = {
        "suites": ["lama", "superglue"],
        "backbones": ["tiny_bert"],
        **listed(["majority", "manual", "manual_best", "fine_tuning", "p_tuning"]),
    }
    params["suites"]["lama"]["tasks"] = ["P19", "P36"]
    params["suites"]["superglue"] |= {"tasks": ["rte"], "train_limit": 60, "test_limit": 40}
    params["world"] = {"subjects": 40}
    params["backbones"]["tiny_bert"]["pretraining"]["steps"] = 30
    params["budget"] = "smoke"
    params["seeds"] = [0, 1]
    params["device"] |= {"workers": 1, "fleet_members": 2}
    return params


def environment() -> dict[str, str]:
    """The tests' own Python first, quiet, and never looking for a network."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "CI": "true", "DVC_NO_ANALYTICS": "1", "HF_HUB_OFFLINE": "1"}
