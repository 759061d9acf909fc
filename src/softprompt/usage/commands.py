"""The commands `predict` and `export`: arguments in, a page or the names of written files out."""

import argparse
from pathlib import Path

from softprompt.errors import UserError
from softprompt.stage import PARAMS

COMMANDS = {
    "predict": "what a trained cell answers to texts of yours, with probabilities",
    "export": "a trained prompt as a PEFT adapter, where PEFT can say what it does",
}


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The arguments of both."""
    for name, summary in COMMANDS.items():
        parser = commands.add_parser(name, help=summary)
        parser.add_argument("--method", required=True)
        parser.add_argument("--backbone", required=True)
        parser.add_argument("--task", required=True, metavar="SUITE/TASK")
        parser.add_argument("--seed", type=int, required=True)
        if name == "predict":
            parser.add_argument("--file", type=Path, help=".csv, .jsonl, or one text a line")
            parser.add_argument("--out", type=Path, help="a CSV file instead of a table")
            parser.add_argument(
                "texts", nargs="*", metavar="TEXT", help="instead of a file; field=text of several fields"
            )
        else:
            parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")


def run_command(asked: argparse.Namespace) -> str:
    """What to print. Raises UserError before a backbone is loaded where the cell or the texts are not there."""
    from softprompt.experiments.checks import load_checked_params
    from softprompt.paths import Paths
    from softprompt.tasks.load import load_task
    from softprompt.usage.cells import find_cell, load_cell
    from softprompt.usage.export import export_adapter
    from softprompt.usage.inputs import read_inputs
    from softprompt.usage.predict import predict, render_predictions, to_csv

    params, paths = load_checked_params(PARAMS), Paths()
    cell = find_cell(params, paths, asked.method, asked.backbone, asked.task, asked.seed)
    if asked.command == "export":
        chosen = load_cell(params, paths, cell)
        return "\n".join(map(str, export_adapter(chosen, params.backbones[cell.backbone], asked.out)))
    if (asked.file is None) == (not asked.texts):
        raise UserError("predict needs either --file or texts on the command line")
    inputs = read_inputs(load_task(cell.suite, cell.task, paths.prepared), asked.file, asked.texts)
    chosen = load_cell(params, paths, cell)
    predictions = predict(chosen, inputs)
    return render_predictions(chosen, predictions) if asked.out is None else to_csv(predictions, asked.out)
