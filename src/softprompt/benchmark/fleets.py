"""Our side: members of a fleet as the suite trains them, without tokenizers and scores."""

import torch

from softprompt.backbones.backbone import Backbone
from softprompt.benchmark.clock import Timed, timed_steps
from softprompt.benchmark.settings import BATCH, PROMPT, Lane, MethodName, Setting, Texts
from softprompt.config import Budget, Device
from softprompt.inputs.batches import Split, one_row_each
from softprompt.inputs.encoding import NO_TOKEN, ORDINARY, Encoded
from softprompt.inputs.outputs import OutputSpace, Predictions
from softprompt.methods import build_method
from softprompt.methods.base import TrainedMethod, fresh_trainable
from softprompt.tasks.task import Task, Template
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Member

# Trainer's own defaults: AdamW without decay, falling linearly, gradients clipped
RECIPE = {"optimizer": "adamw", "schedule": "linear", "clip_norm": 1.0}
LEARNING_RATE = 1e-3
OWN: dict[MethodName, dict[str, object]] = {
    "prompt_tuning": {"initialisation": "random"},
    "prefix_tuning": {"answer": "verbalizer", "reparametrisation": True},
    "p_tuning": {"encoder": "lstm"},
}
ASKED = Template(id="bench", text="{mask}", source="softprompt")  # rows are drawn as numbers, so nobody reads it
TASK = Task(
    suite="lama", name="bench", version=1, fields=(), head_fields=(), metrics=(), manual=(), p_tuning=(), plain=ASKED
)


class Trainees:
    """The members of a setting, whose rows are drawn once."""

    def __init__(self, setting: Setting, backbone: Backbone) -> None:
        self.setting = setting
        self.backbone = backbone
        section = {**OWN[setting.method], "prompt_length": PROMPT, "learning_rate": LEARNING_RATE, "recipe": RECIPE}
        method = build_method(setting.method, section)
        assert isinstance(method, TrainedMethod)
        self.method = method
        everything = torch.ones(backbone.vocabulary_size, dtype=torch.bool)
        self.space = OutputSpace(everything, everything)
        tasks = max(setting.widths) if setting.axis == "tasks" else len(setting.lanes)
        self.splits = [self._split(setting.lanes[task % len(setting.lanes)], task) for task in range(tasks)]

    def train(self, width: int, steps: int) -> None:
        """From drawing the members to their last step; a dev split of one row is scored there, after the clock."""
        budget = Budget(trials=2, steps=steps, batch_size=BATCH, eval_every=steps, patience=1)
        members = [self._member(number) for number in range(width)]
        tokens = Device().inference_tokens
        train_fleet(FleetWork(self.backbone, members, budget, self.method.settings.recipe, tokens))

    def timed(self, width: int, steps: int) -> Timed:
        return timed_steps(lambda: self.train(width, steps), steps, self.backbone.device)

    def _member(self, number: int) -> Member:
        lanes, identity = self.setting.lanes, f"bench-{number}"
        train, dev = self.splits[number % len(self.splits)]
        return Member(
            identity=identity,
            space=self.space,
            learning_rate=LEARNING_RATE,
            train=train,
            dev=dev,
            dev_score=_no_score,
            trainable=fresh_trainable(self.method, TASK, self.backbone, lanes[number % len(lanes)].prompt, identity),
        )

    def _split(self, lane: Lane, seed: int) -> tuple[Split, Split]:
        """Train rows, and one of them as dev."""
        texts = Texts.drawn(self.setting.shape, lane.tokens, seed)
        slots = 0 if self.setting.method == "prefix_tuning" else lane.prompt
        return asked(texts, slots), asked(Texts(texts.shape, texts.ids[:1]), slots)


def asked(texts: Texts, slots: int) -> Split:
    """Rows behind so many slots of a prompt, read where the answer is to be said."""
    words = texts.ids[:, :-1] if texts.shape == "gpt2" else texts.masked()
    rows = len(words)
    ids = torch.cat([torch.zeros(rows, slots, dtype=torch.long), words], dim=1)
    numbers = torch.full_like(ids, ORDINARY)
    numbers[:, :slots] = torch.arange(slots)
    read_at = slots + (words.shape[1] - 1 if texts.shape == "gpt2" else texts.place)
    encoded = Encoded(
        ids=ids,
        slots=numbers,
        lengths=torch.full((rows,), ids.shape[1]),
        read_at=torch.full((rows, 1), read_at),
        answer=torch.full((rows, 1), NO_TOKEN),
    )
    return one_row_each(encoded, texts.answers)


def _no_score(answered: Predictions) -> float:  # noqa: ARG001 - speed is all that is asked
    return 0.0
