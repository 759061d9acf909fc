"""What a method has to say: which templates it asks, what it trains, what it searches. The rest is the suite's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.config import Choice, Kind, MethodSettings, TrainedMethodSettings
from softprompt.config.parsing import parse_section
from softprompt.errors import UserError
from softprompt.inputs.outputs import LossOver
from softprompt.inputs.task_data import TaskData
from softprompt.prompts.trainable import Trainable
from softprompt.registry import Registry
from softprompt.results import State
from softprompt.seeding import torch_generator
from softprompt.tasks.task import Task, Template
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Trained

METHODS: Registry["Method"] = Registry("method")


class NoSettings(MethodSettings):
    """The section of a method with nothing to set: `{}`."""


@dataclass(frozen=True)
class Setup:
    """What a member is built from. `generator` draws its initialisation and nothing else."""

    backbone: Backbone
    task: Task
    prompt_length: int
    generator: torch.Generator
    data: TaskData | None = None  # of untrained methods only: the training side, whose examples they may show
    shared: nn.Parameter | None = None  # what the tasks of a group train together


class Method:
    """A way to ask a backbone. Subclasses say how; untrained ones leave `settings_model` as it is.

    `state` says whether the backbone's own weights train; `seeded` whether a cell's seed can change its result;
    `chooses_template_on_dev` whether only the template with the best dev score is asked on test; `learns_from` names
    the splits that a task has to have for it, so that only methods without any meet a zero-shot probe;
    `draws_as` the method whose random draws it repeats, where not its own.
    """

    state: ClassVar[State] = "frozen"
    seeded: ClassVar[bool] = True
    chooses_template_on_dev: ClassVar[bool] = False
    learns_from: tuple[str, ...] = ("train", "dev")
    settings_model: ClassVar[type[MethodSettings]] = NoSettings
    draws_as: ClassVar[str] = ""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def with_settings(self, chosen: Mapping[str, Choice]) -> Self:
        """The method of one trial: what is searched has its chosen value."""
        return type(self)(self.settings.with_values(chosen))

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        """The templates that a cell asks, the first of them where only one is used."""
        raise NotImplementedError

    def uses_head(self, task: Task) -> bool:  # noqa: ARG002 - some methods decide by task
        """Whether answers come from a classification head instead of the language model's vocabulary."""
        return False

    def inapplicable(self, task: Task, backbone: Backbone) -> str:
        """Why this method cannot meet this task on this backbone, or nothing."""
        return self.inapplicable_by_kind(task, backbone.name, backbone.kind) or self.inapplicable_by_model(
            task, backbone
        )

    def inapplicable_by_kind(self, task: Task, backbone: str, kind: Kind) -> str:
        """What is wrong with the task or the kind of backbone, or nothing; `backbone` is a name, for the message."""
        if task.answer_form == "tagging" and not self.uses_head(task):
            return f"{task.key} labels every word, which takes a classification head; this method answers in words"
        if task.answer_form == "tagging" and kind == "seq2seq":
            return f"{task.key} labels every word, and only the decoder of {backbone} is read, which writes none"
        if not self.templates(task, kind):
            return f"{task.key} has no template for {kind} backbones"
        return ""

    def inapplicable_by_model(self, task: Task, backbone: Backbone) -> str:
        """What the loaded backbone lacks for this method and task, or nothing."""
        if not self.uses_head(task) and not backbone.has_lm_head:
            return f"{backbone.name} has no language-model head to answer with"
        return ""

    def prepared_backbone(self, backbone: Backbone) -> Backbone:
        """The backbone as this method uses it."""
        return backbone

    def unit_of(self, task: Task) -> str:
        """Suite or suite/task: tasks of one unit share a setting, and the study that looks for it."""
        return task.suite if task.suite == "lama" else task.key

    def met_settings(self, parts: Trainable) -> dict[str, Any]:  # noqa: ARG002 - most ask just what is set
        """What is set, and how much of it could be asked where the data allow for less."""
        return self.settings.fixed()

    def trainable(self, setup: Setup) -> Trainable:  # noqa: ARG002 - untrained methods have nothing to build
        """A fresh set of parameters; empty for methods that ask in words only."""
        return Trainable()


class TrainedMethod(Method):
    """A method whose parameters are tuned and trained on the common budget.

    `together` says whether the tasks of a suite train as one group, which shares parameters (`shared`), a setting and
    the best step; `loss_over` what a label's word competes with in training: the words of the other labels, as in PET
    and in P-tuning on SuperGLUE, or the whole vocabulary. An open vocabulary (LAMA's), candidates and generated texts
    always train over all of it, and predictions never are outside the answers.
    """

    together: ClassVar[bool] = False
    loss_over: ClassVar[LossOver] = "answers"
    settings: TrainedMethodSettings
    settings_model = TrainedMethodSettings

    def unit_of(self, task: Task) -> str:
        """Tasks of one suite are one unit where they train together."""
        return task.suite if self.together else super().unit_of(task)

    def further_texts(self, task: Task, kind: Kind) -> Sequence[str]:  # noqa: ARG002 - most methods read nothing else
        """What it trains on beside the first of its `templates`, so that a change of it trains anew."""
        return ()

    def shared(self, setup: Setup) -> Tensor | None:  # noqa: ARG002 - most methods share nothing
        """The first values of what the members of a group train together."""
        return None

    def loss_weight(self, task: Task) -> float:  # noqa: ARG002 - most methods weigh all alike
        """What a task's loss counts for in the sum that its group trains on."""
        return 1.0

    def train(self, work: FleetWork) -> list[Trained]:
        """Train a fleet on the common budget."""
        return train_fleet(work)


def fresh_trainable(
    method: Method,
    task: Task,
    backbone: Backbone,
    prompt_length: int,
    identity: str,
    *,
    data: TaskData | None = None,
    shared: nn.Parameter | None = None,
) -> Trainable:
    """A new member's parameters on the backbone's device, drawn from the stream that its identity names.

    A tuned method gets a copy of the backbone's weights for itself.
    """
    own = backbone.tuned_copy() if method.state == "tuned" else backbone
    setup = Setup(own, task, prompt_length, torch_generator(identity, "init"), data, shared)
    return method.trainable(setup).to(backbone.device)


def fresh_shared(
    method: TrainedMethod, task: Task, backbone: Backbone, prompt_length: int, identity: str
) -> nn.Parameter | None:
    """What the members of one group hold in common, drawn from the stream of the member that its identity names."""
    first = method.shared(Setup(backbone, task, prompt_length, torch_generator(identity, "shared")))
    return None if first is None else nn.Parameter(first.to(backbone.device))


def build_method(name: str, section: dict[str, Any]) -> Method:
    """The method of that name with its section of params.yaml parsed.

    Raises UserError naming the key where the section is wrong, or the methods there are where the name is.
    """
    if name not in METHODS:
        raise UserError(f"methods.{name}: no such method; known: {', '.join(sorted(METHODS))}")
    method = METHODS[name]
    return method(parse_section(method.settings_model, section, f"methods.{name}: "))
