"""The one training loop. It knows members, never methods: every member trains as if it were alone."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.dropout import stream_number
from softprompt.config import Budget, Recipe
from softprompt.inputs.batches import Batch, shuffled_rows
from softprompt.inputs.outputs import Predictions
from softprompt.inputs.task_data import TaskData
from softprompt.prompts.side_by_side import Stack, stacked
from softprompt.results import CurvePoint
from softprompt.seeding import stream_seed, torch_generator
from softprompt.training.alike import Alike, read_alike
from softprompt.training.fitting import PassSize
from softprompt.training.member import Member, Trained
from softprompt.training.optimizers import build_optimizer, separate_gradients


@dataclass(frozen=True)
class FleetWork:
    """Members to train together and the means to do so; `data` are their tasks, for methods that need more than rows.

    `inference_tokens` bounds the padded tokens of a pass without gradients.
    """

    backbone: Backbone
    members: Sequence[Member]
    budget: Budget
    recipe: Recipe
    inference_tokens: int
    data: Sequence[TaskData] = ()


def train_fleet(work: FleetWork) -> list[Trained]:
    """Train all members together; each keeps its best state on dev (higher score, then lower loss, then later step)."""
    with stacked([member.trainable for member in work.members]) as stacks:
        run, budget = _Run(work, stacks), work.budget
        for step in range(1, budget.steps + 1):
            if not run.active:
                break
            run.step(step)
            if step % budget.eval_every == 0 or step == budget.steps:
                run.evaluate(step)
    for alike in run.alike:
        for index, rows in zip(alike.places, alike.fleet.rows(), strict=True):
            run.trained[index].rows = rows
    return run.trained


class _Run:
    """A fleet under way: who still trains, in what order data comes, what each has reached."""

    def __init__(self, work: FleetWork, stacks: Sequence[Stack]) -> None:
        members, budget, recipe, device = work.members, work.budget, work.recipe, work.backbone.device
        self.members = members
        self.budget = budget
        self.inference_tokens = work.inference_tokens
        self.active = list(range(len(members)))
        self.trained = [Trained() for _ in members]
        self.orders = [
            shuffled_rows(len(m.train), budget.batch_size, torch_generator(m.identity, "order")) for m in members
        ]
        self.teams = teams_of(members)
        self.optimizer = build_optimizer(members, stacks, self.teams, recipe, budget)
        numbers = sum(leaf.numel() for leaf in self.optimizer.leaves)
        self.alike = read_alike(work.backbone, members, self.optimizer.state_bytes * numbers)
        self.size = PassSize()
        self.losses: list[tuple[Tensor, Tensor]] = []  # whose they are and the losses (E), since the last look
        drops_out = recipe.backbone_dropout and work.backbone.drops_out
        self.streams = _dropout_streams(members, device) if drops_out else None

    def step(self, step: int) -> None:
        """One optimiser step of every active member on a batch of its own."""
        drawn = {index: next(self.orders[index]) for index in self.active}
        for member, losses in self.size.fitting(partial(self._gradients, drawn, self._noise(step))):
            self.losses.append((member, losses / self.budget.batch_size))
        self.optimizer.step(step)
        for index in self.active:
            self.trained[index].steps = step

    def _gradients(
        self, drawn: Mapping[int, Int[Tensor, "B"]], noise: Int[Tensor, "F"] | None
    ) -> list[tuple[Int[Tensor, "E"], Float[Tensor, "E"]]]:
        """Leave those of each member's weighted mean loss on what it drew. The member and the loss of every example."""
        for leaf in self.optimizer.leaves:
            leaf.grad = None
        found = []
        with ExitStack() as counting:
            for alike in self.alike:
                counting.enter_context(alike.fleet.counting())
                if active := alike.of(self.active):
                    member = torch.tensor(active).repeat_interleave(self.budget.batch_size)
                    batches = alike.batches(active, [drawn[index] for index in active], noise, self.size)
                    losses = [
                        self._add_gradients(alike, member[examples], batch, streams)
                        for examples, batch, streams in batches
                    ]
                    found.append((member, torch.cat(losses)))
        return found

    def _add_gradients(
        self, alike: Alike, member: Int[Tensor, "E"], batch: Batch, streams: Int[Tensor, "R"] | None
    ) -> Float[Tensor, "E"]:
        """Those of the shares that examples of `member` have in their members' losses. Their losses."""
        reading = alike.read(batch, streams)
        losses = alike.fleet.losses(reading)
        objective = losses if reading.extra is None else losses + reading.extra
        weights = alike.weights[reading.batch.member[reading.batch.first]]
        torch.autograd.backward((weights.to(objective) * objective).sum() / self.budget.batch_size)
        if len(member) < self.budget.batch_size * len(self.active):  # there is another pass
            separate_gradients(self.optimizer.leaves)
        return losses.detach().float()

    def evaluate(self, step: int) -> None:
        """Score the active members on dev, keep what is best, let go who is done."""
        with torch.no_grad():
            answered = [alike.predict(alike.of(self.active), self.inference_tokens) for alike in self.alike]
        outcomes = {index: predictions for some in answered for index, predictions in some.items()}
        train_losses = self._train_losses((step - 1) % self.budget.eval_every + 1)
        for index in self.active:
            point = curve_point(self.members[index], step, train_losses[index], outcomes[index])
            self.trained[index].curve.append(point)
        for team in [team for team in self.teams if team[0] in self.active]:
            trained = [self.trained[index] for index in team]
            keep_best([self.members[index] for index in team], trained, step, self.budget.patience)
            if trained[0].failure or trained[0].evaluations_since_best >= self.budget.patience:
                self.active = [index for index in self.active if index not in team]
                self.optimizer.stop(team)

    def _train_losses(self, steps: int) -> list[float]:
        """Each member's mean over the steps since the last look, added up on the CPU in the order of the examples."""
        members, losses = (torch.cat(some) for some in zip(*self.losses, strict=True))
        self.losses.clear()
        return (torch.zeros(len(self.members)).index_add_(0, members, losses.cpu()) / steps).tolist()

    def _noise(self, step: int) -> Int[Tensor, "F"] | None:
        """The stream of each member in this step, where the backbone drops out."""
        if self.streams is None:
            return None
        return stream_number(self.streams, torch.tensor(step))


def curve_point(member: Member, step: int, train_loss: float, predictions: Predictions) -> CurvePoint:
    """An evaluation on dev, to be put on the member's curve. Where the loss is not finite there is no score."""
    loss = float(predictions.loss.mean())
    score = member.dev_score(predictions) if math.isfinite(loss) else math.nan
    return CurvePoint(step=step, train_loss=train_loss, dev_loss=loss, dev_score=score)


def keep_best(
    members: Sequence[Member], trained: Sequence[Trained], step: int, patience: int, *, by_loss: bool = False
) -> None:
    """After an evaluation, keep a team's state where its mean is the best so far (higher score, then lower loss, or the
    loss first, then later step): what its members share cannot be of two steps. Where a loss is not finite they train
    no more, and the evaluation is none: it leaves the curve."""
    points = [one.curve[-1] for one in trained]
    broken = _not_finite(points)
    if broken:
        for one in trained:
            one.curve.pop()
            one.failure = "" if one.saved else f"the {broken} loss was not finite by step {step}"
            one.evaluations_since_best = patience
        return
    now = _mean_score([(point.dev_score, point.dev_loss) for point in points])
    before = _mean_score([(one.dev_score, one.dev_loss) for one in trained])
    if now[::-1] >= before[::-1] if by_loss else now >= before:
        for member, one, point in zip(members, trained, points, strict=True):
            one.saved = member.trainable.saved()
            one.best_step, one.dev_score, one.dev_loss = step, point.dev_score, point.dev_loss
            one.evaluations_since_best = 0
    else:
        for one in trained:
            one.evaluations_since_best += 1


def _not_finite(points: Sequence[CurvePoint]) -> str:
    """Which loss is not finite at one of the points, or nothing."""
    losses = {"training": [one.train_loss for one in points], "dev": [one.dev_loss for one in points]}
    return next((name for name, values in losses.items() if not all(map(math.isfinite, values))), "")


def teams_of(members: Sequence[Member]) -> list[list[int]]:
    """The members of each group, by number; one without a group is a team of its own."""
    teams: dict[str | int, list[int]] = {}
    for index, member in enumerate(members):
        teams.setdefault(member.group or index, []).append(index)
    return list(teams.values())


def _dropout_streams(members: Sequence[Member], device: torch.device) -> Int[Tensor, "F"]:
    """Where the noise of each member begins, whatever fleet it is in."""
    return torch.tensor([stream_seed(member.identity, "dropout") for member in members], device=device)


def _mean_score(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean dev score and negated mean dev loss: the higher is the better."""
    scores, losses = zip(*points, strict=True)
    return sum(scores) / len(scores), -sum(losses) / len(losses)
