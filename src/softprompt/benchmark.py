"""`make bench`: member-steps a second of a fleet beside Hugging Face Trainer with PEFT prompt tuning, in one run.

Both train prompt tuning of the same length on the same frozen GPT-2 (fresh weights: speed does not depend on them), on
random rows of the same size, with the same batch size, device and threads. Writes reports/bench.json.
"""

import json
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.forward import with_fused_activation
from softprompt.config import Budget, Recipe
from softprompt.files import write_atomically
from softprompt.inputs.batches import Split, one_row_each
from softprompt.inputs.encoding import NO_TOKEN, ORDINARY, Encoded
from softprompt.inputs.outputs import OutputSpace, Predictions
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.quiet import keep_quiet
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Member

if TYPE_CHECKING:  # transformers must find the quiet settings when it is imported
    from transformers import GPT2LMHeadModel

FLEETS = (1, 4, 16)
REPEATS = 3
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Workload:
    """Rows of 13 tokens with 6 prompt vectors in front, batches of 8, as in many LAMA relations."""

    tokens: int = 13
    prompt_length: int = 6
    batch_size: int = 8
    rows: int = 256
    steps: int = 20
    layers: int = 4
    hidden_size: int = 256


def frozen_gpt2(work: Workload, *, fused: bool) -> "GPT2LMHeadModel":
    """A GPT-2 with the real vocabulary of 50,257 and fresh weights; `fused` as `load_backbone` has it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_layer=work.layers, n_embd=work.hidden_size, n_head=4)
    model = GPT2LMHeadModel(with_fused_activation(config) if fused else config).eval()
    model.requires_grad_(False)
    return model


def trainer_steps_per_second(work: Workload, device: torch.device) -> float:
    """Hugging Face Trainer over a PEFT prompt-tuning model, loss at the last token."""
    from peft import PromptTuningConfig, TaskType, get_peft_model
    from transformers import Trainer, TrainingArguments

    ids = torch.randint(1000, 50000, (work.rows, work.tokens), generator=torch.Generator().manual_seed(1))
    labels = torch.full_like(ids, -100)
    labels[:, -1] = ids[:, -1]
    rows = [{"input_ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=work.prompt_length)
    model = get_peft_model(frozen_gpt2(work, fused=False), config)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=work.batch_size,
            max_steps=work.steps,
            learning_rate=LEARNING_RATE,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=device.type == "cpu",
            bf16=device.type == "cuda",
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=rows)
        started = time.perf_counter()
        trainer.train()
        return work.steps / (time.perf_counter() - started)


def fleet_steps_per_second(work: Workload, members: int, device: torch.device) -> float:
    """Our loop: member-steps of a fleet a second, without evaluation on dev."""
    model = frozen_gpt2(work, fused=True).to(device)
    backbone = Backbone("bench", "causal", model, None, "bench", has_lm_head=True)
    fleet = [_member(work, backbone, index) for index in range(members)]
    budget = Budget(trials=2, steps=work.steps, batch_size=work.batch_size, eval_every=work.steps, patience=1)
    started = time.perf_counter()
    trained = train_fleet(FleetWork(backbone, fleet, budget, Recipe(optimizer="adamw"), inference_tokens=16384))
    return sum(one.steps for one in trained) / (time.perf_counter() - started)


def _member(work: Workload, backbone: Backbone, index: int) -> Member:
    generator = torch.Generator().manual_seed(index)
    words = torch.randint(1000, 50000, (work.rows, work.tokens), generator=generator)
    everything = torch.ones(50257, dtype=torch.bool)
    prompt = torch.randn(work.prompt_length, work.hidden_size, generator=generator) * 0.02
    return Member(
        identity=f"bench-{index}",
        space=OutputSpace(everything, everything),
        learning_rate=LEARNING_RATE,
        train=_split(work, words),
        dev=_split(work, words[: work.batch_size]),
        dev_score=_no_score,
        trainable=Trainable(SoftPrompt(prompt, "identity")).to(backbone.device),
    )


def _split(work: Workload, words: Tensor) -> Split:
    """The prompt's slots, then all words but the last, which is to be predicted."""
    n, width = len(words), work.prompt_length + work.tokens - 1
    ids = torch.cat([torch.zeros(n, work.prompt_length, dtype=torch.long), words[:, :-1]], dim=1)
    slots = torch.full_like(ids, ORDINARY)
    slots[:, : work.prompt_length] = torch.arange(work.prompt_length)
    lengths, read_at = torch.full((n,), width), torch.full((n, 1), width - 1)
    return one_row_each(Encoded(ids, slots, lengths, read_at, torch.full((n, 1), NO_TOKEN)), words[:, -1])


def _no_score(answered: Predictions) -> float:  # noqa: ARG001 - speed is all that is asked
    return 0.0


def measure(threads: int, device: torch.device) -> dict[str, object]:
    """Everything in one run, in turns: the best of `REPEATS` each, since whatever else runs on a machine only slows."""
    torch.set_num_threads(threads)
    contenders: dict[str, Callable[[Workload], float]] = {
        "trainer": partial(trainer_steps_per_second, device=device),
        **{str(members): partial(fleet_steps_per_second, members=members, device=device) for members in FLEETS},
    }
    for run in contenders.values():
        run(Workload(steps=3))
    rounds = [{name: run(Workload()) for name, run in contenders.items()} for _ in range(REPEATS)]
    best = {name: max(speeds[name] for speeds in rounds) for name in contenders}
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": threads,
        "trainer_peft_member_steps_per_second": round(best["trainer"], 2),
        "fleet_member_steps_per_second": {str(members): round(best[str(members)], 2) for members in FLEETS},
        "fleet_of_16_over_trainer_peft": round(best["16"] / best["trainer"], 2),
    }


def main() -> None:
    """One thread and all of them on a CPU; the GPU where there is one."""
    keep_quiet()
    if torch.cuda.is_available():
        runs = [measure(torch.get_num_threads(), torch.device("cuda"))]
    else:
        runs = [measure(threads, torch.device("cpu")) for threads in sorted({1, torch.get_num_threads()})]
    write_atomically(Path("reports/bench.json"), json.dumps({"runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
