"""The best prompt of each task and backbone among MLflow's registered models, under the alias `champion`."""

import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from softprompt.files import replaced_folder
from softprompt.reporting.runs.champions import Champion
from softprompt.tracking.store import ARTIFACTS

if TYPE_CHECKING:  # mlflow must find the quiet settings when it is imported
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

ALIAS = "champion"
LOADER = "softprompt.usage.served"  # by name: what predicts is no part of what publishes
DATA = "cell.json"


def register(store: "SqlAlchemyStore", champions: Iterable[Champion], results: Mapping[str, str], root: Path) -> None:
    """Have the alias of every champion point to a version of it. Older versions stay.

    What is stored is a cell's name and key: `softprompt.usage.served` finds it in the project it is loaded in.
    """
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry

    registry = Registry(store.db_uri)
    for champion in champions:
        source = f"{ARTIFACTS}/models/{champion.model}/{champion.cell.key}"
        versions = {(one.source, one.run_id): one.version for one in _versions(registry, champion)}
        if not (root / source).is_dir():
            _write_model(root / source, champion)
        if not versions:
            _create(registry, champion)
        place = source, results[champion.result]
        version = versions.get(place) or _new_version(registry, champion, *place)
        if registry.get_registered_model(champion.model).aliases.get(ALIAS) != version:
            registry.set_registered_model_alias(champion.model, ALIAS, version)


def _versions(registry: "Registry", champion: Champion) -> "list[ModelVersion]":
    return list(registry.search_model_versions(f"name = '{champion.model}'"))


def _create(registry: "Registry", champion: Champion) -> None:
    """The registered model without a version, unless a killed call made it."""
    from mlflow.entities.model_registry import RegisteredModelTag

    if not registry.search_registered_models(f"name = '{champion.model}'"):
        cell = champion.cell
        places = {"profile": champion.profile, "suite": cell.suite, "task": cell.task, "backbone": cell.backbone}
        registry.create_registered_model(
            champion.model,
            [RegisteredModelTag(name, value) for name, value in places.items()],
            f"`{ALIAS}` is the prompt for {cell.suite}/{cell.task} on {cell.backbone} that is best on dev, so that its "
            "score on test is no maximum of many.",
        )


def _new_version(registry: "Registry", champion: Champion, source: str, run: str) -> str:
    cell = champion.cell
    said = f"{cell.method}, replicate {cell.seed}: {100 * (cell.dev_score or 0.0):.1f} % on dev."
    return str(registry.create_model_version(champion.model, source, run, description=said).version)


def _write_model(folder: Path, champion: Champion) -> None:
    """What `mlflow.pyfunc.load_model` loads: which cell it is, and who finds it."""
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    cell = champion.cell
    named = {"profile": champion.profile, "task": f"{cell.suite}/{cell.task}", "key": cell.key}
    named |= cell.model_dump(include={"method", "backbone", "seed"})
    fields = Schema([ColSpec("string", name) for name in champion.fields])
    model = Model(signature=ModelSignature(inputs=fields))
    model.add_flavor("python_function", loader_module=LOADER, data=DATA, python_version=platform.python_version())
    with replaced_folder(folder) as new:
        (new / DATA).write_text(json.dumps(named, indent=1) + "\n", encoding="utf-8")
        model.save(str(new / "MLmodel"))
