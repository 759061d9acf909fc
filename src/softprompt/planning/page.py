"""A plan as text for a terminal."""

import shutil
from collections.abc import Sequence

from softprompt.backbones.memory import GIB
from softprompt.config import Params
from softprompt.paths import Paths
from softprompt.planning.machine import Machine
from softprompt.planning.memory import LAMA_TOKENS, MemoryNeeds
from softprompt.planning.needs import DATA_BYTES, BackboneNeeds, missing_data
from softprompt.planning.sizes import dtype_bytes
from softprompt.planning.work import Work

MIB = 1024**2
UNITS = ((1, "s"), (60, "min"), (3600, "h"), (86400, "days"), (365.25 * 86400, "years"))


def render_plan(params: Params, work: Work, needs: Sequence[BackboneNeeds], machine: Machine, paths: Paths) -> str:
    """The whole page: totals, a table of suites and one of backbones, then what is missing or will not fit."""
    return "\n".join(
        [
            *_head(params, work, needs, machine),
            "",
            *_suites(params, work, paths),
            "",
            *_backbones(needs),
            "",
            *_remarks(params, work, machine),
            *warnings(params, needs, machine, paths),
        ]
    )


def warnings(params: Params, needs: Sequence[BackboneNeeds], machine: Machine, paths: Paths) -> list[str]:
    """A line beginning with `!` for everything that is missing or will not fit, or one that says nothing is."""
    found = [f"! {suite}: {lack}" for suite in params.run.suites if (lack := missing_data(suite, params, paths))]
    found += [f"! {need.name}: {need.missing}" for need in needs if need.missing]
    for need in needs:
        found += _memory_warnings(need, machine)
    disk, free = disk_bytes(params, needs), shutil.disk_usage(paths.root).free
    if disk > free:
        found.append(f"! disk: the run needs about {gib(disk)}, {gib(free)} are free here")
    return found or ["Nothing is missing, and everything fits."]


def _memory_warnings(need: BackboneNeeds, machine: Machine) -> list[str]:
    memory, there = need.memory, f"this machine's {machine.kind} memory is {gib(machine.memory_bytes)}"
    if memory is None:
        return []
    found = []
    if memory.frozen_bytes > machine.memory_bytes:
        advice = "lower device.fleet_members or the budget's batch_size"
        if need.size and need.size.parameters * dtype_bytes(need.settings) > machine.memory_bytes:
            advice = "write dtype: bfloat16, or take it out of run.backbones"
        found.append(f"! {need.name}: a fleet needs about {gib(memory.frozen_bytes)}, {there}; {advice}")
    if need.tuned and memory.tuned_bytes > machine.memory_bytes:
        outcome = "lower device.workers or the budget's batch_size" if memory.tunable else "counted as n/a"
        found.append(f"! {need.name}: to tune it needs about {gib(memory.tuned_bytes)}, {there}; {outcome}")
    return found


def _head(params: Params, work: Work, needs: Sequence[BackboneNeeds], machine: Machine) -> list[str]:
    train = [stage for need in needs for stage in need.stages]
    rows = [
        ("profile", params.profile),
        ("stages", f"{work.stages}"),
        ("cells", f"{sum(stage.cells for stage in train):,}"),
        ("trials", f"{sum(stage.trials for stage in train):,}"),
        ("member-steps", f"{sum(stage.member_steps for stage in train):,} at most"),
        ("device", f"{machine.name} ({machine.kind}), {gib(machine.memory_bytes)}"),
        ("time", f"{duration(sum(need.seconds for need in needs))} of training at most, at {machine.basis}"),
        ("disk", gib(disk_bytes(params, needs))),
    ]
    return [f"{name:<14}{value}" for name, value in rows]


def disk_bytes(params: Params, needs: Sequence[BackboneNeeds]) -> float:
    """Data and weights, with all their copies."""
    data = sum(DATA_BYTES[suite] for suite in params.run.suites)
    return data + sum(need.disk_bytes + need.kept_bytes for need in needs)


def _suites(params: Params, work: Work, paths: Paths) -> list[str]:
    rows = [
        [
            suite,
            params.suites[suite].source,  # type: ignore[index]
            f"{'about ' if suite in work.assumed else ''}{work.tasks[suite]}",
            missing_data(suite, params, paths) or "there",
        ]
        for suite in params.run.suites
    ]
    return columns(["suite", "source", "tasks", "data"], rows, right=(2,))


def _backbones(needs: Sequence[BackboneNeeds]) -> list[str]:
    rows = [
        [
            need.name,
            _millions(need),
            f"{sum(stage.cells for stage in need.stages):,}",
            f"{sum(stage.trials for stage in need.stages):,}",
            f"{sum(stage.member_steps for stage in need.stages):,}",
            _fleet(need.memory) if need.memory else "?",
            gib(need.memory.frozen_bytes) if need.memory else "?",
            (gib(need.memory.tuned_bytes) if need.tuned else "-") if need.memory else "?",
            gib(need.disk_bytes) if need.size else "?",
            gib(need.kept_bytes) if need.size else "?",
            duration(need.seconds) if need.size else "?",
        ]
        for need in needs
    ]
    counted = ["parameters", "cells", "trials", "member-steps"]
    taken = ["fleet", "memory", "to tune", "weights", "tuned cells", "time"]
    return columns(["backbone", *counted, *taken], rows, right=range(1, 11))


def _remarks(params: Params, work: Work, machine: Machine) -> list[str]:
    beside = f", {machine.processes} processes" if machine.processes > 1 else ""
    lines = [
        f"fleet: members side by side, of at most {params.device.fleet_members}, and the passes that their step takes; "
        f"memory: their activations and the weights{beside}; to tune: one member, its gradients and Adam's moments",
        "weights: in the hub's cache, models/ and DVC's cache; tuned cells: the weights they keep, and DVC's cache",
        f"time: {LAMA_TOKENS} tokens a fact, {params.max_tokens} another input, no early stopping; "
        "evaluation on dev and test comes on top",
    ]
    if work.assumed:
        lines.append(f"tasks of {', '.join(work.assumed)}: as published; known once they are prepared")
    return lines


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Lines with their columns aligned, numbers to the right, two blanks between."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]


def gib(size: float) -> str:
    """`3.1 MiB`, `0.4 GiB`, `12 GiB`."""
    value = size / GIB
    if 0 < value < 0.1:
        return f"{size / MIB:,.1f} MiB"
    return f"{value:,.1f} GiB" if value < 10 else f"{value:,.0f} GiB"


def duration(seconds: float) -> str:
    """In the largest unit of which there is at least one."""
    size, unit = max((pair for pair in UNITS if pair[0] <= max(seconds, 1)), key=lambda pair: pair[0])
    return f"{seconds / size:,.1f} {unit}"


def _fleet(memory: MemoryNeeds) -> str:
    return f"{memory.members}" + (f" in {memory.passes}" if memory.passes > 1 else "")


def _millions(need: BackboneNeeds) -> str:
    return f"{need.size.parameters / 1e6:,.1f} M" if need.size else "?"
