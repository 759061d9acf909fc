"""Who runs against whom: contenders in turns, and what their rounds come to."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from softprompt.backbones.backbone import Backbone
from softprompt.benchmark.clock import Timed, timed_once
from softprompt.benchmark.fleets import Trainees
from softprompt.benchmark.peft_trainer import timed_peer
from softprompt.benchmark.probing import NAIVE_BATCH, answers, naive_answers, permitted_words
from softprompt.benchmark.products import BareProducts, products_of_first_step
from softprompt.benchmark.records import Probing, Speed
from softprompt.benchmark.rounds import Spread, in_turns, spread
from softprompt.benchmark.settings import TOKENS, Setting, Shape, Size, Texts, as_backbone, fresh_model

if TYPE_CHECKING:  # transformers must find the quiet settings when it is imported
    from transformers import PreTrainedModel

ON_GPU = 20  # times as many steps and facts in one go
PEER_STEPS_AS_A_FLEET_OF = 4
NAIVE, OWN = "naive", "own"
FACTS = 16  # asked in one go, for each member-step that is timed

Round = dict[str, Timed]


class Arena:
    """One shape in one size: the models of both sides, of which ours has the activation that `load_backbone` fuses."""

    def __init__(self, shape: Shape, size: Size, device: torch.device) -> None:
        self.shape, self.size, self.device = shape, size, device
        self.backbone: Backbone = as_backbone(shape, fresh_model(shape, size, device, fused=True))
        self.peer: PreTrainedModel = fresh_model(shape, size, device, fused=False)
        self.go = size.member_steps * (ON_GPU if device.type == "cuda" else 1)

    def train(self, setting: Setting, seconds: float) -> list[Speed]:
        """PEFT + Trainer and fleets of all widths, each followed by the bare products of its step."""
        trainees = Trainees(setting, self.backbone)
        bare = {
            width: BareProducts(products_of_first_step(partial(trainees.train, width, 1)), self.device)
            for width in setting.widths
        }
        runs: dict[str, Callable[[], Timed]] = {}
        for number, lane in enumerate(setting.lanes):
            steps = self._steps(PEER_STEPS_AS_A_FLEET_OF)
            runs[f"peer {number}"] = partial(timed_peer, self.peer, setting, lane, steps)
        for width in setting.widths:
            runs[f"fleet {width}"] = partial(trainees.timed, width, self._steps(width))
            runs[f"limit {width}"] = bare[width].run
        rounds = in_turns(runs, seconds)
        fleets = [_fleet(setting, rounds, width, bare[width].flops) for width in setting.widths]
        return [_peer(setting, rounds), *fleets]

    def probe(self, seconds: float) -> Probing:
        """Our way of asking for facts and the naive one; the naive one is asked for a batch only."""
        facts = max(NAIVE_BATCH, FACTS * self.go)
        texts = Texts.drawn(self.shape, TOKENS, 0, facts)
        few = Texts(self.shape, texts.ids[:NAIVE_BATCH])
        permitted = permitted_words(self.shape)
        words = set(permitted.nonzero()[:, 0].tolist())
        ours, theirs = partial(answers, self.backbone, texts, permitted), partial(naive_answers, self.peer, few, words)
        runs = {
            NAIVE: lambda: timed_once(theirs, self.device, len(few.ids)),
            OWN: lambda: timed_once(ours, self.device, facts),
        }
        rounds = in_turns(runs, seconds)
        return Probing(
            shape=self.shape,
            size=self.size.name,
            threads=torch.get_num_threads(),
            rounds=len(rounds),
            facts_per_second=spread([1 / one[OWN].step_seconds for one in rounds]),
            naive_facts_per_second=spread([1 / one[NAIVE].step_seconds for one in rounds]),
            over_naive=spread([one[NAIVE].step_seconds / one[OWN].step_seconds for one in rounds]),
            memory_bytes=_memory([one[OWN] for one in rounds]),
            naive_memory_bytes=_memory([one[NAIVE] for one in rounds]),
        )

    def _steps(self, members: int) -> int:
        """The first one is not timed."""
        return 1 + max(1, self.go // members)


def _peer(setting: Setting, rounds: Sequence[Round]) -> Speed:
    """Over all lanes, one member after the other."""
    everyone = [timed for one in rounds for name, timed in one.items() if name.startswith("peer")]
    speeds = spread([1 / _peer_seconds(one) for one in rounds])
    return _speed(setting, everyone, contender="peft_trainer", members=1, rounds=len(rounds), speeds=speeds)


def _fleet(setting: Setting, rounds: Sequence[Round], width: int, flops: int) -> Speed:
    steps = [one[f"fleet {width}"].step_seconds for one in rounds]
    limits = [one[f"limit {width}"].step_seconds for one in rounds]
    return _speed(
        setting,
        [one[f"fleet {width}"] for one in rounds],
        contender="fleet",
        members=width,
        rounds=len(rounds),
        speeds=spread([width / step for step in steps]),
        over_peer=spread([width * _peer_seconds(one) / step for one, step in zip(rounds, steps, strict=True)]),
        of_limit=spread([limit / step for limit, step in zip(limits, steps, strict=True)]),
        flops_per_second=float(f"{flops / median(steps):.4g}"),
    )


def _speed(setting: Setting, timed: Sequence[Timed], *, speeds: Spread, **fields: Any) -> Speed:
    return Speed(
        shape=setting.shape,
        size=setting.size.name,
        method=setting.method,
        axis=setting.axis,
        threads=torch.get_num_threads(),
        member_steps_per_second=speeds,
        setup_seconds=round(median(one.setup_seconds for one in timed), 4),
        memory_bytes=_memory(timed),
        **fields,
    )


def _peer_seconds(one: Round) -> float:
    """Of a member-step, on average of the lanes."""
    lanes = [timed.step_seconds for name, timed in one.items() if name.startswith("peer")]
    return sum(lanes) / len(lanes)


def _memory(timed: Sequence[Timed]) -> int:
    return int(median(one.memory_bytes for one in timed))
