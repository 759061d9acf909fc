"""Runs as rows of MLflow's tables, through MLflow's own classes for them.

No method of MLflow writes many runs in one transaction, takes the time when a run began from anybody else's clock and
ended before it was told of, or leaves an artifact location relative.
"""

import hashlib
import json
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from softprompt.reporting.runs.run import Dataset, Run

PROFILE = "profile"
Rows = dict[Any, list[dict[str, Any]]]  # class of a table -> its rows


def merged(parts: Iterable[Rows]) -> Rows:
    """All rows of all parts. Tables come in the order in which they need each other."""
    together: Rows = {}
    for part in parts:
        for table, rows in part.items():
            together.setdefault(table, []).extend(rows)
    return {table: rows for table, rows in together.items() if rows}


def run_rows(number: str, run: Run, experiment: str, folder: str, tags: Mapping[str, str]) -> Rows:
    """The run of that id with all that it holds."""
    from mlflow.store.tracking.dbmodels import models

    began, ended = round(1000 * run.started), round(1000 * run.ended)
    own: dict[str, Any] = {"run_uuid": number}
    texts = {**run.places, **run.tags, **tags, **_mlflow_tags(run)}
    metrics = [
        own | {"key": one.name, "step": one.step, "timestamp": ended, **_stored(one.value)} for one in run.metrics
    ]
    latest = {one["key"]: one for one in sorted(metrics, key=lambda one: one["step"])}
    inputs = {_id("input", number, one.name): one for one in run.datasets}
    status = "FAILED" if run.failed else "FINISHED"
    return {
        models.SqlRun: [
            own | {
                "name": run.name, "source_type": "LOCAL", "source_name": run.source, "entry_point_name": "",
                "user_id": "", "status": status, "start_time": began, "end_time": ended, "source_version": "",
                "lifecycle_stage": "active", "artifact_uri": f"{folder}/{number}/artifacts",
                "experiment_id": int(experiment),
            }
        ],
        models.SqlTag: [own | {"key": key, "value": value} for key, value in texts.items()],
        models.SqlParam: [own | {"key": key, "value": value} for key, value in {**run.places, **run.params}.items()],
        models.SqlMetric: metrics,
        models.SqlLatestMetric: list(latest.values()),
        models.SqlInput: [
            {
                "input_uuid": name, "source_type": "DATASET", "source_id": dataset_id(one, experiment),
                "destination_type": "RUN", "destination_id": number,
            }
            for name, one in inputs.items()
        ],
        models.SqlInputTag: [
            {"input_uuid": name, "name": "mlflow.data.context", "value": one.use} for name, one in inputs.items()
        ],
    }  # fmt: skip


def dataset_rows(datasets: Iterable[Dataset], experiment: str) -> Rows:
    """Datasets that the experiment does not know yet."""
    from mlflow.store.tracking.dbmodels.models import SqlDataset

    return {
        SqlDataset: [
            {
                "dataset_uuid": dataset_id(one, experiment), "experiment_id": int(experiment), "name": one.name,
                "digest": one.digest, "dataset_source_type": "local",
                "dataset_source": json.dumps({"uri": one.source}),
                "dataset_schema": json.dumps(
                    {"mlflow_colspec": [{"type": "string", "name": name, "required": True} for name in one.columns]}
                ),
                "dataset_profile": json.dumps({"num_rows": one.rows}),
            }
            for one in datasets
        ]
    }  # fmt: skip


def dataset_id(dataset: Dataset, experiment: str) -> str:
    return _id("dataset", experiment, dataset.name, dataset.digest)


def _stored(value: float) -> dict[str, float | bool]:
    """A number as MLflow keeps it: finite, with a mark where it is none."""
    largest = sys.float_info.max
    return {"value": 0.0 if math.isnan(value) else max(-largest, min(largest, value)), "is_nan": math.isnan(value)}


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _mlflow_tags(run: Run) -> dict[str, str]:
    """What MLflow's pages show by names of their own."""
    named = {
        "mlflow.runName": run.name,
        "mlflow.note.content": run.description,
        "mlflow.source.name": run.source,
        "mlflow.source.type": "LOCAL",
        "mlflow.parentRunId": run.parent,
    }
    return {name: value for name, value in named.items() if value}
