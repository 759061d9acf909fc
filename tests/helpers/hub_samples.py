"""The small official files of `source_samples` as the parquet files that the hub has of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets

from helpers.source_samples import CLASS_LABELS, FACTS, GLUE, RELATION, Json
from softprompt.data.sources import hub_datasets
from softprompt.data.sources.lock import Lock
from softprompt.data.suite_layouts import LAYOUTS

HUB_SPLITS = {"train": "train", "validation": "val", "test": "test"}


def hub_rows(task: str, rows: list[Json]) -> Iterator[Json]:
    """Official rows as the hub's dataset has them, after the loading script that once made it."""
    for row in rows:
        if task == "MultiRC":
            for question in row["passage"]["questions"]:
                for answer in question["answers"]:
                    yield {
                        "paragraph": row["passage"]["text"], "question": question["question"], "answer": answer["text"],
                        "idx": {"paragraph": row["idx"], "question": question["idx"], "answer": answer["idx"]},
                        "label": int(answer.get("label", -1)),
                    }  # fmt: skip
            continue
        label = row.get("label", -1)
        flat = {key: value for key, value in row.items() if key not in ("target", "version")} | row.get("target", {})
        yield flat | {"label": CLASS_LABELS[task].index(label) if isinstance(label, str) else int(label)}


def write_parquet(path: Path, rows: list[Json], names: Sequence[str] = ()) -> None:
    """As the hub converts its datasets: with their features in the file, labels among them as numbers with names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = datasets.Dataset.from_list(rows)
    if names:
        table = table.cast_column("label", datasets.ClassLabel(names=list(names)))
    table.to_parquet(path)


def fill_hub_superglue(folder: Path, official_rows: dict[str, dict[str, list[Json]]]) -> None:
    for task, splits in official_rows.items():
        for split, name in HUB_SPLITS.items():
            path = folder / LAYOUTS["superglue"].hub / task.lower() / f"{split}-00000-of-00001.parquet"
            write_parquet(path, list(hub_rows(task, splits[name])), CLASS_LABELS.get(task, ("False", "True")))


def fill_hub_glue(folder: Path) -> None:
    def tsv(task: str, name: str) -> list[list[str]]:
        return [line.split("\t") for line in GLUE[task][name].splitlines()[1:]]

    for split, name in (("train", "train"), ("validation", "dev")):
        sst2 = [{"sentence": text, "label": int(label), "idx": i} for i, (text, label) in enumerate(tsv("SST-2", name))]
        rte = [
            {"sentence1": one, "sentence2": two, "label": CLASS_LABELS["RTE"].index(label), "idx": int(index)}
            for index, one, two, label in tsv("RTE", name)
        ]
        mrpc = [
            {"sentence1": one, "sentence2": two, "label": int(quality), "idx": int(first)}
            for quality, first, _, one, two in tsv("MRPC", name)
        ]
        for config, rows in (("sst2", sst2), ("rte", rte), ("mrpc", mrpc)):
            write_parquet(
                folder / LAYOUTS["glue"].hub / config / f"{split}-00000-of-00001.parquet", rows, ("one", "other")
            )


def fill_hub_lama(folder: Path, lock: Lock) -> None:
    rows = [
        {key: value for key, value in fact.items() if key != "evidences"} | evidence
        | {key: RELATION[key] for key in ("template", "label", "description", "type")}
        for fact in FACTS
        for evidence in fact["evidences"]
    ]  # fmt: skip
    write_parquet(folder / "facebook" / "lama@abc123" / "trex" / "train" / "0000.parquet", rows)
    lock.record(f"{hub_datasets.PREFIX}facebook/lama@refs/convert/parquet", "abc123")
