"""Where the numbers come from: data, backbones and packages, without dates, hosts or paths."""

from collections import defaultdict

from softprompt.reporting.analysis.collect import Collected, Manifest
from softprompt.reporting.rendering.markdown import as_text, counted, joined
from softprompt.results import Cell
from softprompt.tasks.load import LAMA

DIGEST_LENGTH = 12
SHOWN_VALUES = 3


def data_lines(collected: Collected) -> list[str]:
    """A suite's source, licences and fingerprint (the digest of its manifest), and what its splits share."""
    lines = []
    for suite, manifest in collected.manifests.items():
        licences = sorted({str(entry["licence"]) for entry in manifest.content["tasks"].values()})
        source, digest = manifest.content["source"], manifest.fingerprint[:DIGEST_LENGTH]
        count = counted(len(manifest.tasks), "task")
        lines.append(f"{suite}: {count}, source {source}, licence {joined(licences)}, manifest `{digest}`")
        lines += note_lines(manifest) + overlap_lines(manifest)
    return lines


def note_lines(manifest: Manifest) -> list[str]:
    """Where a file stands in for the published one; LAMA's notes name its probes, which its page shows."""
    notes = {} if manifest.suite == LAMA else {task: entry["note"] for task, entry in manifest.content["tasks"].items()}
    return [f"{manifest.suite}/{task}: {as_text(note)}" for task, note in notes.items() if note]


def overlap_lines(manifest: Manifest) -> list[str]:
    """What of train and dev also stands in test, same fields and label; nothing where nothing does."""
    lines = []
    for split in ("train", "dev"):
        counts = {task: entry["also_in_test"].get(split, 0) for task, entry in manifest.content["tasks"].items()}
        among = sorted((task for task, count in counts.items() if count), key=lambda task: (-counts[task], task))
        if among:
            shown = joined([f"{counts[task]} in {task}" for task in among[:SHOWN_VALUES]])
            more = (
                f", in {len(among)} tasks: {shown}"
                if len(among) <= SHOWN_VALUES
                else (f", in {len(among)} tasks, most of them {shown}")
            )
            lines.append(
                f"{manifest.suite}: {sum(counts.values())} {split} examples also stand in test{more}; "
                "kept, as in published numbers"
            )
    return lines


def run_lines(cells: list[Cell]) -> list[str]:
    """Every entry of the cells' provenance: its value, a value a backbone, or where tasks differ how many there are."""
    by_key: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for cell in cells:
        for key, value in cell.provenance.items():
            by_key[key][cell.backbone].add(_short(value))
    return [f"{key}: {_values(by_backbone)}" for key, by_backbone in sorted(by_key.items())]


def _values(by_backbone: dict[str, set[str]]) -> str:
    every = sorted(set().union(*by_backbone.values()))
    if len(every) == 1:
        return every[0]
    if all(len(values) == 1 for values in by_backbone.values()):
        return ", ".join(f"{next(iter(values))} ({backbone})" for backbone, values in sorted(by_backbone.items()))
    return ", ".join(every) if len(every) <= SHOWN_VALUES else f"{len(every)} values"


def _short(value: str) -> str:
    is_digest = len(value) >= 40 and all(letter in "0123456789abcdef" for letter in value)
    return f"`{value[:DIGEST_LENGTH]}`" if is_digest else value
