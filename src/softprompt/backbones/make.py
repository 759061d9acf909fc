"""The backbone stage: put a model folder in place that later stages load offline, and measure which facts it knows."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch

from softprompt.backbones.backbone import load_backbone
from softprompt.backbones.hub import fetch_snapshot
from softprompt.backbones.pretraining import pretrain
from softprompt.config import BackboneSettings, Device
from softprompt.device import choose_device
from softprompt.errors import UserError
from softprompt.files import write_atomically
from softprompt.knowledge import known_facts
from softprompt.paths import Paths
from softprompt.progress import Progress

MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


def make_backbone(name: str, settings: BackboneSettings, paths: Paths, device_settings: Device) -> None:
    """Write models/<name> and results/pretraining/<name>, with loss.csv and facts.csv for a pretrained one.

    Raises UserError where a local folder is no model, the hub cannot give one, the device is too small for it, or
    there is no text to pretrain on.
    """
    out, device = paths.backbone(name), choose_device(device_settings, threads=device_settings.workers)
    paths.pretraining(name).mkdir(parents=True, exist_ok=True)  # an out of the stage, empty where nothing is pretrained
    if settings.source != "pretrain":
        if settings.source == "hub":
            copy_snapshot(name, settings, out)
        else:
            copy_model(name, Path(settings.path), out)
        load_backbone(name, settings.kind, out, device, dtype=settings.dtype)
        return
    report = _pretrain(name, settings, paths, device)
    backbone = load_backbone(name, settings.kind, out, device)
    _write_table(paths.pretraining(name) / "loss.csv", pd.DataFrame(report, columns=["step", "loss"]))
    _write_table(
        paths.pretraining(name) / "facts.csv",
        known_facts(backbone, paths.suite("lama"), device_settings.inference_tokens),
    )


def copy_model(name: str, folder: Path, out: Path) -> None:
    """The model's own files, beside the target and then renamed."""
    if not (folder / "config.json").is_file():
        raise UserError(
            f"backbones.{name}.path is {folder}, which has no config.json; name a folder in Hugging Face format"
        )
    _copy_whole((path for pattern in MODEL_FILES for path in sorted(folder.glob(pattern))), {}, out)


def copy_snapshot(name: str, settings: BackboneSettings, out: Path) -> None:
    """A hub model's files, with source.json that says which commit they are; nothing where the download breaks off."""
    folder, files, source = fetch_snapshot(name, settings)
    _copy_whole((folder / file for file in files), {"source.json": source}, out)


def _copy_whole(paths: Iterable[Path], written: dict[str, str], out: Path) -> None:
    """All files beside the target, then renamed."""
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for path in paths:
        shutil.copy(path, temporary / path.name)
    for file, content in written.items():
        (temporary / file).write_text(content)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)


def _pretrain(name: str, settings: BackboneSettings, paths: Paths, device: torch.device) -> list[tuple[int, float]]:
    texts = [paths.suite("lama") / "text" / "facts.jsonl", paths.suite("superglue") / "text" / "documents.jsonl"]
    missing = [str(text) for text in texts if not text.is_file()]
    if missing:
        raise UserError(
            f"backbone {name} is pretrained on {', '.join(missing)}, which no suite made; "
            "give lama and superglue the source `embedded`"
        )
    answers = json.loads((paths.suite("lama") / "text" / "answers.json").read_text())
    with Progress(f"pretraining {name}", settings.pretraining.steps if settings.pretraining else 0, "step") as progress:
        report = pretrain(settings, texts, answers, paths.backbone(name), device=device, progress=progress.reach)
    return report.losses


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_atomically(path, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
