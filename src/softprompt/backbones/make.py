"""A model folder that later stages load offline: pretrained here, copied, or fetched from the hub."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch

from softprompt.backbones.checkpoint import checkpoint_path
from softprompt.backbones.finished import Finished
from softprompt.backbones.key import pretraining_key
from softprompt.backbones.pretraining import pretrain
from softprompt.backbones.snapshots import expected_weights, fetch_snapshot, weights_in
from softprompt.config import BackboneSettings, Device
from softprompt.data.prepared import refuse_damaged
from softprompt.device import choose_device, device_name
from softprompt.errors import NotFiniteError, UserError
from softprompt.files import replaced_folder, write_csv
from softprompt.paths import Paths
from softprompt.progress import Progress

THREADS = 2  # that pretrain on a CPU, however many cores or workers: how a sum is split decides how it rounds
SETTINGS_FILES = ("*.json", "*.txt", "*.model")  # of model and tokenizer


def make_backbone(name: str, settings: BackboneSettings, paths: Paths, device_settings: Device) -> None:
    """Write models/<name>, and of a pretrained one results/pretraining/<name>/{loss,cost}.csv and pretraining.json.

    A model that was pretrained from the very same texts and settings by the same code stays as it is.
    Raises UserError where a local folder is no model, the hub cannot give one, or there is no text to pretrain on.
    """
    if settings.source == "pretrain":
        _pretrain(name, settings, paths, choose_device(device_settings, threads=THREADS))
        return
    _clear(paths.pretraining(name))  # an out of the stage, empty where nothing is pretrained
    if settings.source == "hub":
        copy_snapshot(name, settings, paths.backbone(name))
    else:
        copy_model(name, settings, paths.backbone(name))


def copy_model(name: str, settings: BackboneSettings, out: Path) -> None:
    """The model's own files, beside the target and then renamed; of its weights the format that the hub's are taken in.

    Raises UserError where the folder has no config.json or no whole set of weights.
    """
    folder = Path(settings.path)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"backbones.{name}.path is {folder}, which has no config.json; name a folder in Hugging Face format"
        )
    weights = weights_in(folder, settings)
    if not weights:
        raise UserError(
            f"backbones.{name}.path is {folder}, which has no weights; expected {expected_weights(name, settings)}; "
            "complete the folder or name another"
        )
    configuration = {path.name for pattern in SETTINGS_FILES for path in folder.glob(pattern)}
    indices = {path.name for path in folder.glob("*.index.json")}  # one without its shards would mislead the loader
    _copy_whole((folder / file for file in sorted({*(configuration - indices), *weights})), {}, out)


def copy_snapshot(name: str, settings: BackboneSettings, out: Path) -> None:
    """A hub model's files, with source.json that says which commit they are; nothing where the download breaks off."""
    folder, files, source = fetch_snapshot(name, settings)
    _copy_whole((folder / file for file in files), {"source.json": source}, out)


def _copy_whole(paths: Iterable[Path], written: dict[str, str], out: Path) -> None:
    """All files or none."""
    with replaced_folder(out) as folder:
        for path in paths:
            if not path.is_file():
                raise UserError(f"{path}: not a file; complete the folder or name another")
            shutil.copy(path, folder / path.name)
        for file, content in written.items():
            (folder / file).write_text(content)


def _pretrain(name: str, settings: BackboneSettings, paths: Paths, device: torch.device) -> None:
    """Model, report and then the record of both, unless they are there."""
    out, results, texts = paths.backbone(name), paths.pretraining(name), _texts(name, settings, paths)
    for suite in sorted({text.parents[1] for text in texts}):
        refuse_damaged(suite)
    answers = json.loads(texts[0].with_name("answers.json").read_text())
    key, finished = pretraining_key(settings, texts, answers, device_name(device)), Finished(out, results)
    if finished.holds(key):
        return
    _clear(results)
    steps = settings.pretraining.steps if settings.pretraining else 0
    with Progress(f"pretraining {name}", steps, "step") as progress:
        try:
            report = pretrain(settings, texts, answers, out, key=key, device=device, progress=progress.reach)
        except NotFiniteError as error:
            raise UserError(f"backbones.{name}.pretraining.learning_rate: {error}; write a lower one") from None
    write_csv(results / "loss.csv", pd.DataFrame(report.losses, columns=["step", "loss"]))
    cost = {column: getattr(report, column) for column in ("parameters", "tokens")}
    write_csv(results / "cost.csv", pd.DataFrame([cost]))
    write_csv(paths.journal("pretraining", name) / "seconds.csv", pd.DataFrame({"seconds": [report.seconds]}))
    finished.write(key)
    checkpoint_path(out).unlink(missing_ok=True)


def _clear(results: Path) -> None:
    """An empty folder in place of an earlier backbone's report."""
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)


def _texts(name: str, settings: BackboneSettings, paths: Paths) -> list[Path]:
    """The text of facts, then those of documents."""
    further = settings.pretraining.more_documents if settings.pretraining else ()
    texts = [*text_files(paths), *(paths.suite(suite) / "text" / "documents.jsonl" for suite in further)]
    missing = [str(path) for path in texts if not path.is_file()]
    if missing:
        raise UserError(
            f"backbone {name} is pretrained on {', '.join(missing)}, which no suite made; give lama and superglue the "
            "source `embedded`, or lama the source `local` with `text: {}`"
        )
    return texts


def text_files(paths: Paths) -> tuple[Path, Path]:
    """The text of facts, and the documents that lama wrote beside it or else superglue's."""
    facts = paths.suite("lama") / "text" / "facts.jsonl"
    own = facts.with_name("documents.jsonl")
    return facts, own if own.is_file() else paths.suite("superglue") / "text" / "documents.jsonl"
