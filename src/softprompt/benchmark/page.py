"""docs/speed.md and the README's rows: everything in them is read from what was measured."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from softprompt.benchmark.figures import draw_all, sweeps
from softprompt.benchmark.measure import OF_TASKS, OF_TRIALS, WIDE
from softprompt.benchmark.records import Bench, Probing, Speed
from softprompt.benchmark.rounds import Spread
from softprompt.benchmark.settings import BASE, BATCH, MINI, PROMPT, TOKENS, VOCABULARY
from softprompt.files import write_atomically
from softprompt.reporting.rendering.markdown import DASH, joined, table

PAGE, FIGURES, README = Path("docs/speed.md"), Path("docs/speed"), Path("README.md")
ROWS = re.compile(r"(?<=<!-- rows of make bench -->\n).*?(?=<!-- end of rows -->)", re.DOTALL)
TEXT = """# Speed

Written by `make bench` in {minutes:.0f} minutes from `reports/bench.json`: {device}, {threads} threads, {versions}.
The machine's load was {load[0]} before the run and {load[1]} after it. Every number is the median over rounds, in
which all contenders take turns; in brackets the quartiles. Ratios are taken within a round, so other work on the
machine disturbs both sides alike.

Both sides train the same numbers, with the same losses and gradients (a test compares them), on frozen models of
known shapes with fresh weights: {sizes}, both with the full vocabulary ({vocabularies}). Rows have {tokens} tokens,
prompts {prompt} vectors, batches {batch} rows; AdamW, gradients clipped, no dropout. A member is one prompt in
training; a member-step one of its optimiser steps. The *limit* is what the plain matrix products of a fleet's step take
by themselves, repeated in turns with the steps; batches of small products, as in attention and in a fleet's LSTMs, do
not count towards it.

## What was aimed at

{aims}

## Training beside PEFT and the Trainer of transformers

{training}

![Speed and memory against the width of a fleet](speed/widths.svg)

## Cost against members, tasks and trials

A step of all of them: a fleet's beside PEFT + Trainer one after the other. Each task has rows of its own, of {of_tasks}
tokens; trials have prompts of {of_trials} vectors. Shorter ones are padded in a fleet, and that is in its time.

![Seconds for a step of all](speed/costs.svg)

{costs}

## Facts asked beside naive probing

Naive probing, as in the code of P-tuning, projects all positions onto the vocabulary, sorts it at each, and walks
down to the first word that is permitted.

{probing}

## Setting up, and memory

Seconds from drawing the prompts to the first step, the model being there; the peak of memory beyond the frozen
weights.

{setup}
"""


@dataclass(frozen=True)
class Aim:
    """At least so much, in each of some settings."""

    text: str
    least: float
    found: Sequence[Spread]

    def row(self) -> list[str]:
        medians = [one.median for one in self.found]
        reached = sum(median >= self.least for median in medians)
        span = f"{min(medians):.2f} to {max(medians):.2f}"
        return [self.text, f"{self.least:g}", span, f"{reached} of {len(medians)}"]


def write_pages(bench: Bench, root: Path) -> None:
    """The page, its figures, and the rows between two comments in the README."""
    for name, svg in draw_all(bench).items():
        write_atomically(root / FIGURES / name, svg)
    write_atomically(root / PAGE, page(bench))
    readme = (root / README).read_text(encoding="utf-8")
    write_atomically(root / README, ROWS.sub(lambda _: aims(bench) + "\n", readme))


def page(bench: Bench) -> str:
    """In Markdown."""
    return TEXT.format(
        minutes=bench.seconds / 60,
        device=f"{bench.device} ({bench.kind})",
        threads=bench.threads,
        versions=", ".join(f"{name} {version}" for name, version in bench.versions.items()),
        load=bench.load,
        sizes=" and ".join(f"`{one.name}` of {one.layers} layers of {one.hidden_size}" for one in (MINI, BASE)),
        vocabularies=", ".join(f"{shape} {size:,}" for shape, size in VOCABULARY.items()),
        tokens=TOKENS,
        prompt=PROMPT,
        batch=BATCH,
        of_tasks=joined([str(lane.tokens) for lane in OF_TASKS]),
        of_trials=joined([str(lane.prompt) for lane in OF_TRIALS]),
        aims=aims(bench),
        training=_training(bench),
        costs=_costs(bench),
        probing=_probing(bench.probing),
        setup=_setup(bench.training),
    )


def aims(bench: Bench) -> str:
    """What was aimed at on 2 cores, with the lowest and highest median of its settings."""
    wide = [one for one in _compared(bench) if one.size == MINI.name and one.members == WIDE]
    alone = [one for one in _compared(bench) if one.members == 1]
    probes = [one.over_naive for one in bench.probing if one.size == MINI.name]
    found = [
        Aim(f"a fleet of {WIDE} over PEFT + Trainer, mini", 6, [one.over_peer for one in wide if one.over_peer]),
        Aim(f"a fleet of {WIDE}, share of the limit, mini", 0.85, [one.of_limit for one in wide if one.of_limit]),
        Aim("a fleet of one over PEFT + Trainer, mini and base", 1, [one.over_peer for one in alone if one.over_peer]),
        Aim("asking for facts over naive probing, mini", 10, probes),
    ]
    return table(["aim", "at least", "medians", "settings that reach it"], [aim.row() for aim in found])


def _compared(bench: Bench) -> list[Speed]:
    return [
        one
        for one in bench.training
        if one.contender == "fleet" and one.axis == "members" and one.threads == bench.threads
    ]


def _training(bench: Bench) -> str:
    header = ["model", "method", "threads", "PEFT + Trainer, member-steps/s", "fleet of", "member-steps/s"]
    rows = []
    for peer, *fleets in _by_setting(one for one in bench.training if one.axis == "members"):
        place = [f"{peer.shape} {peer.size}", f"`{peer.method}`", str(peer.threads)]
        for one in (fleets[0], *(fleet for fleet in fleets[1:] if fleet.members == WIDE or fleet is fleets[-1])):
            flops = DASH if one.flops_per_second is None else f"{one.flops_per_second / 1e9:,.0f}"
            speeds = [_numbers(peer.member_steps_per_second), str(one.members), _numbers(one.member_steps_per_second)]
            rows.append([*place, *speeds, _numbers(one.over_peer), flops, _numbers(one.of_limit)])
    return table([*header, "over PEFT + Trainer", "GFLOP/s", "share of the limit"], rows, left=2)


def _costs(bench: Bench) -> str:
    rows = [
        [title, str(one.members), f"{one.members / peer.member_steps_per_second.median:.2f}",
         f"{one.members / one.member_steps_per_second.median:.2f}", _numbers(one.over_peer)]
        for title, peer, fleets in sweeps(bench)
        for one in fleets
    ]  # fmt: skip
    return table(["along", "number", "one by one, s", "fleet, s", "times as fast"], rows)


def _probing(found: Sequence[Probing]) -> str:
    rows = [
        [f"{one.shape} {one.size}", _numbers(one.naive_facts_per_second), _numbers(one.facts_per_second),
         _numbers(one.over_naive), _megabytes(one.naive_memory_bytes), _megabytes(one.memory_bytes)]
        for one in found
    ]  # fmt: skip
    return table(["model", "naive, facts/s", "ours, facts/s", "over naive", "naive, MB", "ours, MB"], rows)


def _setup(training: Sequence[Speed]) -> str:
    rows = [
        [f"{one.shape} {one.size}", f"`{one.method}`", "PEFT + Trainer" if one.contender != "fleet" else "fleet",
         str(one.members), f"{one.setup_seconds:.2f}", _megabytes(one.memory_bytes)]
        for one in training
        if one.axis == "members"
    ]  # fmt: skip
    return table(["model", "method", "who", "members", "seconds", "MB"], rows, left=3)


def _by_setting(training: Iterator[Speed]) -> list[list[Speed]]:
    """Each peer with its fleets, in the order in which they ran."""
    found: dict[tuple[str, str, str, int], list[Speed]] = {}
    for one in training:
        found.setdefault((one.shape, one.size, one.method, one.threads), []).append(one)
    return list(found.values())


def _numbers(spread: Spread | None) -> str:
    if spread is None:
        return DASH
    digits = 0 if spread.median >= 100 else 1 if spread.median >= 10 else 2
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f} to {spread.high:.{digits}f})"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f}"
