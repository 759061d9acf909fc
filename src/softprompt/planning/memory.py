"""What a backbone takes of a machine's memory, by the formulas and decisions of the runs themselves."""

from dataclasses import dataclass

from softprompt.backbones.memory import USABLE_SHARE, members_that_fit, rows_that_fit
from softprompt.backbones.size import ModelSize, frozen_bytes, tuned_bytes
from softprompt.config import Params
from softprompt.planning.machine import Machine
from softprompt.planning.sizes import dtype_bytes
from softprompt.planning.work import Work
from softprompt.tasks.load import LAMA

LAMA_TOKENS = 24  # a fact with its prompt; other inputs are taken to fill max_tokens
ANSWER_TOKENS = 4  # of a candidate; a label is one


@dataclass(frozen=True)
class MemoryNeeds:
    """Of the suite that takes most. `members` train side by side, in so many `passes` a step."""

    members: int
    passes: int
    frozen_bytes: float
    tuned_bytes: float
    tunable: bool  # whether the weights and what trains them fit; that the run asks too


def memory_needs(name: str, size: ModelSize, params: Params, work: Work, machine: Machine) -> MemoryNeeds:
    """Of one backbone. On a CPU the processes of `device.workers` share the frozen weights and nothing else."""
    kind, width = machine.kind, dtype_bytes(params.backbones[name])
    suites = [_rows_of_member(suite, size, params, work, kind) for suite in params.suites_of(name)]
    row_bytes, rows = max(suites, key=lambda pair: pair[0] * pair[1], default=(1.0, 1))
    frozen, tuned = (weights(size.parameters, width, kind) for weights in (frozen_bytes, tuned_bytes))
    most = params.device.fleet_members
    while_frozen, while_tuned = (_fitting(row_bytes, machine, weights) for weights in (frozen, tuned))
    members = most if while_frozen is None else members_that_fit(most, rows, while_frozen)
    at_once = _at_once(members * rows, while_frozen)
    return MemoryNeeds(
        members=members,
        passes=-(-members * rows // at_once),
        frozen_bytes=frozen + machine.processes * at_once * row_bytes,
        tuned_bytes=machine.processes * (tuned + _at_once(rows, while_tuned) * row_bytes),
        tunable=tuned <= machine.memory_bytes,
    )


def tokens_of(suite: str, params: Params) -> int:
    """Tokens of a row, prompt included: an upper bound but for LAMA."""
    return min(LAMA_TOKENS, params.max_tokens) if suite == LAMA else params.max_tokens


def _rows_of_member(suite: str, size: ModelSize, params: Params, work: Work, kind: str) -> tuple[float, int]:
    """Bytes of a row, and how many a member's batch has."""
    answer = ANSWER_TOKENS if work.rows[suite] > 1 else 1
    rows = params.chosen_budget.batch_size * work.rows[suite]
    return size.training_bytes(tokens_of(suite, params), answer, kind), rows


def _fitting(row_bytes: float, machine: Machine, weights: float) -> int | None:
    """Rows of a pass on a GPU; on a CPU nothing bounds them."""
    if machine.kind != "cuda":
        return None
    return rows_that_fit(row_bytes, USABLE_SHARE * (machine.memory_bytes - weights))


def _at_once(rows: int, fitting: int | None) -> int:
    return rows if fitting is None else min(rows, fitting)
