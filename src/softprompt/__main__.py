"""`softprompt plan`: what the run in params.yaml would take, without doing any of it."""

import argparse
import sys
from collections.abc import Sequence

from softprompt.errors import UserError
from softprompt.quiet import keep_quiet
from softprompt.stage import PARAMS


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where params.yaml is not valid."""
    keep_quiet()
    parser = argparse.ArgumentParser(prog="softprompt", description="A benchmark suite; `dvc repro` runs it.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("plan", help="stages, cells, trials, memory, disk and time of params.yaml; nothing is run")
    parser.parse_args(arguments)
    try:
        sys.stdout.write(plan() + "\n")
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def plan() -> str:
    """The page for the params.yaml in place."""
    from softprompt.checks import load_checked_params
    from softprompt.paths import Paths
    from softprompt.planning.machine import describe_machine
    from softprompt.planning.needs import backbone_needs
    from softprompt.planning.page import render_plan
    from softprompt.planning.work import plan_work

    params, paths = load_checked_params(PARAMS), Paths()
    machine = describe_machine(params.device, paths.reports / "bench.json")
    work = plan_work(params, paths)
    needs = [backbone_needs(name, params, work, machine, paths) for name in params.run.backbones]
    return render_plan(params, work, needs, machine, paths)


if __name__ == "__main__":
    sys.exit(main())
