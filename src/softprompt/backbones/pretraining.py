"""Tiny backbones pretrained in the pipeline: tokenizer, model and training on the text that `prepare` made."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from softprompt.backbones.architectures import build_model
from softprompt.backbones.objectives import OBJECTIVES
from softprompt.backbones.packing import Rows, endless_batches, read_corpus, read_texts, text_beside_answers
from softprompt.backbones.tokenizer import FRAMES, train_tokenizer
from softprompt.config import BackboneSettings, Kind, PretrainingSettings
from softprompt.errors import UserError
from softprompt.seeding import numpy_generator, stream_seed

KINDS: dict[str, Kind] = {
    "bert": "masked",
    "roberta": "masked",
    "albert": "masked",
    "distilbert": "masked",
    "electra": "masked",
    "gpt2": "causal",
    "llama": "causal",
    "t5": "seq2seq",
}
REPORT_EVERY = 20  # steps
HELD_SHARE = 0.4  # of the steps, at the full learning rate before it falls to zero
CLIP_NORM = 1.0

Progress = Callable[[int, int, float], None]  # step, of how many, mean loss since the last report


@dataclass(frozen=True)
class PretrainingReport:
    """What pretraining did: (step, mean training loss since the last point), and its size and duration."""

    losses: list[tuple[int, float]]
    tokens: int
    parameters: int
    seconds: float


def pretrain(
    settings: BackboneSettings,
    text_files: list[Path],
    answers: list[str],
    out: Path,
    *,
    device: torch.device,
    progress: Progress,
) -> PretrainingReport:
    """Train tokenizer and model, and put both into `out` in Hugging Face format, whole or not at all.

    The first text file is the main one; the others share `documents_share` of the steps.
    """
    architecture, pretraining = settings.architecture, settings.pretraining
    if architecture is None or pretraining is None:
        raise UserError("only a backbone with `source: pretrain` can be pretrained")
    if settings.kind != KINDS[architecture.type]:
        raise UserError(f"kind {settings.kind} does not suit type {architecture.type}: use {KINDS[architecture.type]}")
    texts = (text for path in text_files for text in text_beside_answers(read_texts(path)))
    tokenizer = train_tokenizer(architecture.type, texts, answers, architecture.vocabulary_size)
    seed = stream_seed(f"pretraining-{pretraining.seed}", "initial weights") % 2**32
    model = build_model(architecture, tokenizer, seed).to(device).train()
    before, after = ([tokenizer.convert_tokens_to_ids(token)] if token else [] for token in FRAMES[architecture.type])
    streams = []
    for path in text_files:
        corpus = read_corpus(path, tokenizer, before, after)
        rng = numpy_generator(f"pretraining-{pretraining.seed}", f"order of {path.name}")
        sizes = pretraining.row_tokens, pretraining.batch_size
        sample = min(1.0, pretraining.other_tokens * corpus.answer_share)
        streams.append(endless_batches(corpus, *sizes, rng, sample=sample))
    objective = OBJECTIVES[settings.kind]
    report = train(
        model, interleave(streams, pretraining), lambda rows: objective(model, tokenizer, rows), pretraining, progress
    )
    save(model, tokenizer, out)
    return report


def interleave(streams: list[Iterator[Rows]], pretraining: PretrainingSettings) -> Iterator[Rows]:
    """One batch a step: documents at evenly spread steps, each file in turn."""
    documents, done = streams[1:], 0
    for step in range(pretraining.steps):
        due = int((step + 1) * pretraining.documents_share) if documents else 0
        yield next(documents[done % len(documents)]) if due > done else next(streams[0])
        done = due


def learning_rate_share(step: int, pretraining: PretrainingSettings) -> float:
    """Share of the full learning rate: linear warm-up, constant, then linear to zero."""
    held = max(HELD_SHARE * pretraining.steps, pretraining.warmup_steps)
    rise = (step + 1) / max(1, pretraining.warmup_steps)
    fall = (pretraining.steps - step) / max(1.0, pretraining.steps - held)
    return min(rise, 1.0, fall)


def train(
    model: PreTrainedModel,
    batches: Iterator[Rows],
    loss_of: Callable[[Rows], torch.Tensor],
    pretraining: PretrainingSettings,
    progress: Progress,
) -> PretrainingReport:
    start = time.perf_counter()
    optimizer = torch.optim.AdamW(model.parameters(), lr=pretraining.learning_rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_share(step, pretraining))
    losses: list[tuple[int, float]] = []
    recent: list[torch.Tensor] = []
    tokens = 0
    for step, rows in enumerate(batches, start=1):
        loss = loss_of(rows)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        schedule.step()
        recent.append(loss.detach())
        tokens += int(rows.lengths.sum())
        if step % REPORT_EVERY == 0 or step == pretraining.steps:
            losses.append((step, float(torch.stack(recent).mean())))
            recent.clear()
            progress(step, pretraining.steps, losses[-1][1])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return PretrainingReport(losses, tokens, parameters, time.perf_counter() - start)


def save(model: PreTrainedModel, tokenizer: object, out: Path) -> None:
    """Write beside the target, then rename."""
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    model.eval().cpu().save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)  # type: ignore[attr-defined]
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)
