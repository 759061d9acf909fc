"""Rows that are published in one file, with a list of the ids that are dev, as train.tsv and dev.tsv."""

from pathlib import Path

from softprompt.data.record_files import read_lines, read_tsv
from softprompt.tasks.data_section import SplitById


def split_by_id(folder: Path, published: SplitById) -> None:
    """Write train.tsv and dev.tsv beside the published files."""
    dev_ids = {tuple(line.split("\t")) for line in read_lines(folder / published.dev_ids)}
    header = read_lines(folder / published.rows)[0]
    parts = {"train": [header], "dev": [header]}
    for record in read_tsv(folder / published.rows):
        identity = tuple(record.text(column) for column in published.id_columns)
        parts["dev" if identity in dev_ids else "train"].append("\t".join(record.value.values()))
    for name, lines in parts.items():
        text = "".join(f"{line}\n" for line in lines)
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8", newline="\n")
