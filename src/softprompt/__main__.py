"""`softprompt use` makes params.yaml of a profile; `softprompt plan` says what its run would take; `verify` checks
its report; `diff` says what moved; `predict`, `export` and `submit` use what was trained."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from softprompt.endings import exit_status
from softprompt.quiet import keep_quiet
from softprompt.stage import PARAMS
from softprompt.usage.commands import add_commands, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where params.yaml is not valid, or what was asked for is not there."""
    keep_quiet()
    parser = argparse.ArgumentParser(prog="softprompt", description="A benchmark suite; `dvc repro` runs it.")
    commands = parser.add_subparsers(dest="command", required=True)
    using = commands.add_parser("use", help="put a profile in place: profiles/base.yaml and its overlay as params.yaml")
    using.add_argument("profile")
    planning = commands.add_parser("plan", help="stages, cells, trials, memory, disk and time; nothing is run")
    planning.add_argument("--gpus", type=int, nargs="+", default=[], help="and how long it takes on so many GPUs")
    submitting = commands.add_parser("submit", help="a trained method's answers to SuperGLUE's unlabelled test files")
    submitting.add_argument("--method", required=True)
    submitting.add_argument("--backbone", required=True)
    submitting.add_argument("--seed", type=int, required=True)
    submitting.add_argument("--out", type=Path, default=Path("submission"))
    commands.add_parser("verify", help="whether reports/ is what was recorded, and follows from results/ and data/")
    comparing = commands.add_parser("diff", help="what moved since a revision; exit status 3 where something did")
    comparing.add_argument("rev", help="a branch, a commit, an experiment, or the folder of another working copy")
    comparing.add_argument("other", nargs="?", help="what to compare it with, if not this working copy")
    add_commands(commands)
    asked = parser.parse_args(arguments)
    found: list[int] = []

    def answer() -> None:
        page, status = diff(asked.rev, asked.other) if asked.command == "diff" else (_page(asked), 0)
        sys.stdout.write(page + "\n")
        found.append(status)

    return exit_status(answer) or found[0]


def diff(rev: str, other: str | None) -> tuple[str, int]:
    """The page and the exit status."""
    from softprompt.usage.diff import diff as compare

    return compare(rev, other)


def _page(asked: argparse.Namespace) -> str:
    if asked.command == "use":
        return use(asked.profile)
    if asked.command == "plan":
        return plan(asked.gpus)
    if asked.command == "verify":
        return verify()
    if asked.command == "submit":
        return submit(asked.method, asked.backbone, asked.seed, asked.out)
    return run_command(asked)


def use(profile: str) -> str:
    """What to print. Writes params.yaml, which stays as it was where the profile is not there or not valid."""
    from softprompt.config.parsing import parse_params
    from softprompt.config.profiles import profile_place, profile_text
    from softprompt.experiments.checks import checked
    from softprompt.files import write_atomically

    text, place = profile_text(profile), profile_place(profile)
    checked(parse_params(text, place), place)
    write_atomically(PARAMS, text)
    return f"{PARAMS} is the profile {profile}"


def submit(method: str, backbone: str, seed: int, out: Path) -> str:
    """The names of the written files, a line each."""
    from softprompt.backbones.loading import load_configured
    from softprompt.data.validation import one_of
    from softprompt.evaluation.trained_cells import TrainedCells
    from softprompt.experiments.checks import load_checked_params
    from softprompt.paths import Paths
    from softprompt.usage.submission import write_submission

    params, paths = load_checked_params(PARAMS), Paths()
    one_of([method], params.run.methods, what="method of the run")
    one_of([backbone], params.run.backbones, what="backbone of the run")
    loaded = load_configured(params, backbone, paths, threads=params.device.workers)
    files = write_submission(TrainedCells(params, method, loaded, paths), seed, out)
    return "\n".join(str(path) for path in files)


def verify() -> str:
    """What was checked of the report of the params.yaml in place."""
    from softprompt.experiments.checks import load_checked_params
    from softprompt.paths import Paths
    from softprompt.reporting.context import report_context
    from softprompt.usage.verify import verify as verify_report

    return verify_report(Paths(), report_context(load_checked_params(PARAMS)))


def plan(gpus: Sequence[int] = ()) -> str:
    """The page for the params.yaml in place, with a line for each of these numbers of GPUs."""
    from softprompt.experiments.checks import load_checked_params
    from softprompt.paths import Paths
    from softprompt.planning.cluster import render_clusters
    from softprompt.planning.machine import describe_machine
    from softprompt.planning.needs import backbone_needs
    from softprompt.planning.page import render_plan
    from softprompt.planning.work import plan_work

    params, paths = load_checked_params(PARAMS), Paths()
    machine = describe_machine(params.device, paths.reports / "bench.json")
    work = plan_work(params, paths)
    needs = [backbone_needs(name, params, work, machine, paths) for name in params.run.backbones]
    page = render_plan(params, work, needs, machine, paths)
    return "\n\n".join([page, render_clusters(params, work, gpus, machine)]) if gpus else page


if __name__ == "__main__":
    sys.exit(main())
