"""A member of a fleet: one trial or cell with everything of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from softprompt.inputs.batches import Split
from softprompt.inputs.outputs import OutputSpace, Predictions
from softprompt.prompts.trainable import Trainable
from softprompt.results import CurvePoint
from softprompt.training.rows import Rows


@dataclass
class Member:
    """One (trial or cell) in training. Its generators are named by `identity` alone."""

    identity: str
    space: OutputSpace
    learning_rate: float | None
    train: Split
    dev: Split
    dev_score: Callable[[Predictions], float]  # higher is better
    trainable: Trainable
    backbone_learning_rate: float | None = None  # of a tuned backbone, where it is not `learning_rate`
    loss_weight: float = 1.0  # of its loss among those of its group
    group: str = ""  # members of one group share parameters, stop together and keep the same step; "": alone


@dataclass
class Trained:
    """What became of a member: its parts at the best step on dev and how it got there."""

    saved: dict[str, Tensor] = field(default_factory=dict)
    best_step: int | None = None
    dev_score: float = float("-inf")
    dev_loss: float = float("inf")
    curve: list[CurvePoint] = field(default_factory=list)
    evaluations_since_best: int = 0
    steps: int = 0
    rows: Rows = field(default_factory=Rows)
    failure: str = ""
