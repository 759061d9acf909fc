"""Saved views in the experiments, and the links that open them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from softprompt.errors import UserError
from softprompt.reporting.runs.views import RESULTS, TAG, TRIALS, View, printed_link
from softprompt.tracking.store import open_store

if TYPE_CHECKING:  # mlflow must find the quiet settings when it is imported
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore


def save_views(store: "SqlAlchemyStore", experiments: Mapping[str, str], profile: str, views: Sequence[View]) -> None:
    """Have the profile's views in the experiments be these. A view that a user saved stays."""
    from mlflow.entities import ExperimentTag

    for name, number in experiments.items():
        own = {view.tag(): view.text(place) for place, view in enumerate(views) if view.experiment == name}
        there = store.get_experiment(number).tags
        for key in [key for key in there if key.startswith(f"{TAG}{profile}.") and key not in own]:
            store.delete_experiment_tag(number, key)
        for key in [key for key in own if there.get(key) != own[key]]:
            store.set_experiment_tag(number, ExperimentTag(key, own[key]))


def links(path: Path, address: str) -> str:
    """The printed views of all profiles in a store, a line each, with the question that each answers.

    Raises UserError where nothing was published yet.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `make repro` first, which publishes to it")
    store, found = open_store(path), []
    for experiment in filter(None, map(store.get_experiment_by_name, (RESULTS, TRIALS))):
        found += [printed_link(experiment.experiment_id, *tag) for tag in experiment.tags.items()]
    lines = [f"  {name:<60} {address}{link}" for _, name, link in sorted(filter(None, found), reverse=True)]
    both = json.dumps([store.get_experiment_by_name(name).experiment_id for name in (RESULTS, TRIALS)])
    nested = f"/#/compare-experiments/s?{urlencode({'experiments': both, 'orderByKey': 'attributes.start_time'})}"
    lines.append(f"  {'Results, with their trials below them':<60} {address}{nested}")
    more = "Every task and method has such a view: see the menu of views above a table of runs."
    return "\n".join([f"MLflow is on {address}, where you may ask:", *lines, more])
