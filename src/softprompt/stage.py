"""What all stages share: quiet surroundings, parsed params, and errors a user can read."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from softprompt.config import Params
from softprompt.errors import UserError
from softprompt.quiet import keep_quiet

PARAMS = Path("params.yaml")


def run_stage(
    work: Callable[[Params, argparse.Namespace], None], flags: Sequence[str] = (), *, offline: bool = True
) -> int:
    """Parse `flags` (each with one name as value) and params.yaml, do the work, and return the exit status.

    Unless `offline` is false, the Hugging Face hub is switched off for the stage.

    A UserError is printed without a traceback; everything else is a bug and shows one.
    """
    keep_quiet(offline=offline)
    from softprompt.experiments.checks import (
        load_checked_params,  # imports transformers, which must find the quiet settings
    )

    parser = argparse.ArgumentParser()
    for flag in flags:
        parser.add_argument(flag, required=True)
    arguments = parser.parse_args()
    try:
        work(load_checked_params(PARAMS), arguments)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0
