"""What a cell and a prediction look like on disk. Written by train and evaluate, read by aggregate and publish."""

import math
import operator
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from softprompt.records import Record, SealedRecord

State = Literal["frozen", "tuned"]
Status = Literal["done", "failed", "not_applicable"]
Setting = bool | int | float | str


class CurvePoint(Record):
    """One evaluation on dev: `train_loss` is the mean since the one before."""

    step: int
    train_loss: float
    dev_loss: float
    dev_score: float


class SearchedSetting(Record):
    """A tuned hyper-parameter of a study: what it could be, a number from `low` to `high` or one of `choices`, and what
    was chosen."""

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[Setting] = []
    chosen: Setting

    def on_edge(self) -> bool:
        """Whether the best value sits on the border of its range (within 1 %), where a wider search might do better.
        Choices have no border, and below a whole number that may be 0 or 1 (a length, a count) there is nothing."""
        if self.low is None or self.high is None or isinstance(self.chosen, str):
            return False
        near, margin = 1.01, 0.01 * (self.high - self.low)
        lowest = self.chosen <= (self.low * near if self.log else self.low + margin)
        highest = self.chosen >= (self.high / near if self.log else self.high - margin)
        natural = self.low in (0, 1) and self.high == int(self.high)
        return highest or (lowest and not natural)


class Cost(Record):
    """What a training cost, or several of them together.

    Seconds and memory are never part of a deterministic report, nor of `result.json`; counts are. Rows are those of
    training/rows.py: all that passed through the backbone (`rows_forward`), of these those with a gradient, and those
    only answered. Seconds are a member's share of its fleet's, memory the fleet's, on a CPU that of the whole process.
    """

    trainings: int = 1
    steps: int
    rows_forward: int
    rows_backward: int
    rows_inference: int
    train_seconds: float = Field(default=math.nan, exclude_if=math.isnan)  # NaN, as 0 below, where nothing says
    peak_memory_bytes: int = Field(default=0, exclude_if=operator.not_)


def total_cost(costs: Iterable[Cost]) -> Cost:
    """Of all together: counts and seconds add up, the peak is the highest."""
    known = list(costs)
    summed = {name: sum(getattr(cost, name) for cost in known) for name in Cost.model_fields}
    peak = max((cost.peak_memory_bytes for cost in known), default=0)
    return Cost.model_validate(summed | {"peak_memory_bytes": peak})


class Cell(Record):
    """One (method, backbone, task, replicate): what was asked, what happened on train and dev, and where. A replicate
    goes by its seed."""

    key: str
    suite: str
    task: str
    backbone: str
    method: str
    state: State
    seed: int
    status: Status
    reason: str = ""
    settings: dict[str, Setting] = {}
    study: str = ""  # that chose its settings: suite or suite/task
    searched: list[SearchedSetting] = []
    dropped: dict[str, int] = {}  # split -> examples whose answer is not one token of the backbone
    templates: list[str] = []  # ids of the templates asked, in order; more than one only for `manual`
    dev_metric: str = ""
    dev_score: float | None = None
    best_step: int | None = None
    curve: list[CurvePoint] = []
    parameters_trained: int = 0
    parameters_kept: int = 0
    parts_sha256: str = ""  # of the file that holds them
    positions: int = 0  # that its parts take, among the input's tokens or in front of them
    fleet: str = ""  # key of the fleet that trained it
    provenance: dict[str, str] = {}  # data sha256, backbone revision, device, package versions
    cost: Cost | None = None
    search_cost: Cost | None = None  # of all trials of its task in its study, the chosen one included

    @property
    def chosen(self) -> dict[str, Setting]:
        """What its study chose, by name."""
        return {setting.name: setting.chosen for setting in self.searched}


class TrialRecord(Record):
    """One hyper-parameter setting of a study, as reported to Optuna."""

    study: str  # suite or suite/task
    seed: int  # of the replicate whose study it is, or of the one study of all
    number: int
    settings: dict[str, Setting]
    dev_score: float
    paper: bool  # the paper's own setting


class TrainResult(SealedRecord):
    """Everything `train` hands on for one (method, backbone): `<train dir>/result.json`."""

    method: str
    backbone: str
    cells: list[Cell]
    trials: list[TrialRecord] = []


class Prediction(Record):
    """A row of `predictions.parquet`: one test example answered by one cell under one template.

    `gold_rank` counts from 1 among the candidates.
    """

    suite: str
    task: str
    backbone: str
    method: str
    state: State
    seed: int
    template: str
    split: str  # test, or a control split such as withheld
    id: str
    group: str
    gold: str
    prediction: str
    gold_rank: int


class Score(Record):
    """One metric of one cell under one template on one split, computed from its predictions."""

    suite: str
    task: str
    backbone: str
    method: str
    state: State
    seed: int
    template: str
    split: str
    metric: str
    value: float
    n_examples: int
    higher_is_better: bool


class Coverage(Record):
    """A row of `coverage.csv`: how many examples of an open-vocabulary task a backbone can be asked for, and of the
    others how many have an answer that is not one of its tokens, or is one outside the restricted vocabulary."""

    suite: str
    task: str
    backbone: str
    split: str
    examples: int
    kept: int
    not_one_token: int
    outside_vocabulary: int


class NearestToken(Record):
    """A row of `nearest_tokens.csv`: a vector of a trained prompt and one of the words that point most nearly its way.

    `vector` counts from 0 in a prompt; in a pool it is `prompt.vector`. `rank` counts from 1.
    """

    suite: str
    task: str
    backbone: str
    method: str
    seed: int
    vector: str
    rank: int
    token: str
    cosine: float


class PoolUsage(Record):
    """A row of `pool_usage.csv`: how much of what dev examples are given comes from one prompt of a cell's pool."""

    suite: str
    task: str
    backbone: str
    method: str
    seed: int
    prompt: int
    share: float  # mean over dev; a cell's shares add up to 1


class PretrainingLoss(Record):
    """A row of a backbone's `loss.csv`: nats a token, mean since the last row."""

    step: int
    loss: float


class KnownFacts(Record):
    """A row of a backbone's `facts.csv`: how many facts of a split it knows through one manual template."""

    relation: str
    template: str
    split: str
    p_at_1: float
    n: int


class StatedFacts(Record):
    """A row of a backbone's `stated_facts.csv`: how many facts it knows through the very template in which its
    pretraining text states them."""

    relation: str
    template: str
    p_at_1: float
    n: int  # facts stated in it
