"""MRPC as it is published, one file and a list of ids, as the train.tsv and dev.tsv that GLUE asks for."""

from pathlib import Path

from softprompt.errors import UserError

PUBLISHED = "msr_paraphrase_train.txt"
DEV_IDS = "mrpc_dev_ids.tsv"
COLUMNS = 5  # Quality, #1 ID, #2 ID, #1 String, #2 String


def split_mrpc(folder: Path) -> None:
    """Write train.tsv and dev.tsv beside the published files: the rows whose pair of ids is listed are dev."""
    dev = {tuple(line.split("\t")) for line in _lines(folder / DEV_IDS)}
    header, *rows = _lines(folder / PUBLISHED)
    parts: dict[str, list[str]] = {"train": [header], "dev": [header]}
    for number, row in enumerate(rows, start=2):
        values = row.split("\t")
        if len(values) != COLUMNS:
            raise UserError(
                f"{folder / PUBLISHED}:{number}: {len(values)} columns; expected {COLUMNS}; "
                "delete the downloads and run again"
            )
        parts["dev" if (values[1], values[2]) in dev else "train"].append(row)
    for name, lines in parts.items():
        (folder / f"{name}.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _lines(path: Path) -> list[str]:
    content = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    return content.removesuffix("\n").split("\n")
