"""Methods on the pretended device, each run in a process of its own.

`python -m helpers.device_run` reads runs as JSON: a folder that holds the package, prepared data, types of backbones,
names of methods, how many forms of answers of each, and whether steps are to be counted. Of each run it prints, by
type, method and form, what went wrong, or what a training step costs. This process imports the libraries, which takes
longest, and no run's source.
"""

import json
import multiprocessing
import sys
import traceback
from dataclasses import astuple
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd  # noqa: F401
import torch
import yaml

from helpers.paths import ROOT
from helpers.pretended_device import COUNTS, Counts, pretended_device

if TYPE_CHECKING:
    from softprompt.check_gpu.small_world import Exercise

STEPS = 2, 5  # of two runs, whose difference is that of steps alone
ROUNDS = 7, 13  # of AutoPrompt, whose rounds take 6 steps after a first one


def outcomes(run: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Of every type, method and form in a run."""
    torch.set_num_threads(1)
    sys.path.insert(0, run["source"])
    from softprompt.check_gpu.small_world import exercises, tiny_backbone

    sections, prepared = yaml.safe_load((ROOT / "profiles" / "base.yaml").read_text())["methods"], Path(run["prepared"])
    found: dict[str, dict[str, dict[str, Any]]] = {}
    with pretended_device() as device:
        for model_type in run["types"]:
            backbone, of_type = tiny_backbone(model_type, prepared, device), found.setdefault(model_type, {})
            assert backbone.attentions is not None  # found by a pass, which is no step's
            for name in run["methods"]:
                tried = islice(exercises(name, sections, backbone, prepared), run["forms"])
                of_type[name] = {form: outcome(exercise, counted=run["counted"]) for form, exercise in tried}
    return found


def outcome(exercise: "Exercise", *, counted: bool) -> dict[str, Any]:
    """What a step costs where it is counted, or the end of what went wrong."""
    try:
        return {"step": cost_of_a_step(exercise, counted=counted)}
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "softprompt" in frame.filename]
        return {"error": f"{type(error).__name__} in {frames[-1].name}: {str(error).splitlines()[0]}"}


def cost_of_a_step(exercise: "Exercise", *, counted: bool) -> list[float] | None:
    """Operators, copies and waits; every member trains first, and answers dev afterwards."""
    from softprompt.methods import TrainedMethod

    method = exercise.method
    if not isinstance(method, TrainedMethod):
        exercise.answer(exercise.untrained())
        return None
    few, more = STEPS if method.settings.descends else ROUNDS
    spent = []
    for steps in (few, more) if counted else (few,):
        before = Counts(*astuple(COUNTS))
        trained = exercise.train(steps)
        spent.append(COUNTS - before)
    exercise.answer([one.saved for one in trained])
    return [round(count / (more - few), 2) for count in astuple(spent[1] - spent[0])] if counted else None


if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        sys.stdout.write(json.dumps(pool.map(outcomes, json.load(sys.stdin), chunksize=1)))
