"""Tiny backbones pretrained in the pipeline: tokenizer, model and training on the text that `prepare` made."""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from softprompt.backbones.architectures import ARCHITECTURES, build_model
from softprompt.backbones.checkpoint import Checkpoint, checkpoint_path
from softprompt.backbones.objectives import OBJECTIVES
from softprompt.backbones.packing import (
    Corpus,
    Growth,
    Rows,
    endless_batches,
    read_corpus,
    read_texts,
    text_beside_answers,
)
from softprompt.backbones.tokenizer import train_tokenizer
from softprompt.config import Architecture, BackboneSettings, Kind, PretrainingSettings
from softprompt.errors import NotFiniteError, UserError
from softprompt.finite import not_finite
from softprompt.seeding import numpy_generator, stream_seed

REPORT_EVERY = 20  # steps
CHECKPOINT_EVERY = 500  # steps; a multiple of REPORT_EVERY
FIRST_SHARE = 0.13  # of the steps, with the first lines only, where a text grows
HELD_SHARE = 0.4  # of the steps, at the full learning rate before it falls to zero
CLIP_NORM = 1.0
PROSE_SHARE = 0.15  # of the tokens of ordinary prose, at which there is a loss

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
    key: str,
    device: torch.device,
    progress: Progress,
) -> PretrainingReport:
    """Train tokenizer and model, and put both into `out` in Hugging Face format, whole or not at all.

    The first text file is the main one; the others share `documents_share` of the steps. Killed on its way, it goes on
    from its last checkpoint of the same `key` when called again, and ends with the same bytes as if undisturbed. The
    checkpoint stays: `checkpoint_path(out)` is the caller's to delete.
    """
    architecture, pretraining = settings.architecture, settings.pretraining
    if architecture is None or pretraining is None:
        raise UserError("only a backbone with `source: pretrain` can be pretrained")
    entry = ARCHITECTURES[architecture.type]
    if settings.kind != entry.kind:
        raise UserError(f"kind {settings.kind} does not suit type {architecture.type}: use {entry.kind}")
    texts = (text for path in text_files for text in text_beside_answers(read_texts(path)))
    tokenizer = train_tokenizer(architecture.type, texts, answers, architecture.vocabulary_size)
    seed = stream_seed(f"pretraining-{pretraining.seed}", "initial weights") % 2**32
    model = build_model(architecture, tokenizer, seed).to(device).train()
    corpora = [(path.name, corpus_of(path, tokenizer, architecture, settings.kind)) for path in text_files]
    narrow = streams_of(corpora, pretraining, pretraining.row_tokens, "order of")
    long = streams_of(corpora, pretraining, architecture.positions, "long rows of")
    objective = OBJECTIVES[settings.kind]
    training = Training(model, pretraining, Checkpoint(checkpoint_path(out), key))
    report = training.run(
        interleave(narrow, long, pretraining), lambda rows: objective(model, tokenizer, rows), progress
    )
    save(model, tokenizer, out)
    return report


def corpus_of(path: Path, tokenizer: PreTrainedTokenizerBase, architecture: Architecture, kind: Kind) -> Corpus:
    """A text in tokens, with the special tokens that the architecture puts around a row."""
    tokenization = ARCHITECTURES[architecture.type].tokenization
    frame = tokenization.before, tokenization.after
    before, after = ([tokenizer.convert_tokens_to_ids(token)] if token else [] for token in frame)
    corpus = read_corpus(path, tokenizer, before, after)
    refuse_long_lines(path, corpus, kind, architecture.positions)
    return corpus


def streams_of(
    corpora: Sequence[tuple[str, Corpus]], pretraining: PretrainingSettings, width: int, purpose: str
) -> list[Iterator[Rows]]:
    """Batches without end of each text, in an order of its own, with as many tokens whatever the width of their rows.
    The first text may begin with its first lines."""
    rows = max(1, pretraining.batch_size * pretraining.row_tokens // width)
    growth = growth_of(pretraining) if pretraining.first_lines else None
    streams = []
    for number, (name, corpus) in enumerate(corpora):
        rng = numpy_generator(f"pretraining-{pretraining.seed}", f"{purpose} {name}")
        sample = sample_share(corpus, pretraining)
        streams.append(endless_batches(corpus, width, rows, rng, sample=sample, growth=None if number else growth))
    return streams


def sample_share(corpus: Corpus, pretraining: PretrainingSettings) -> float:
    """Share of the tokens to draw at random: beside the answers, or instead of them in ordinary prose."""
    return min(1.0, pretraining.other_tokens * corpus.answer_share) if corpus.answer_share else PROSE_SHARE


def growth_of(pretraining: PretrainingSettings) -> Growth:
    """All lines are in use from where the learning rate begins to fall."""
    batches = (1 - pretraining.documents_share) * pretraining.steps
    return Growth(pretraining.first_lines, FIRST_SHARE * batches, HELD_SHARE * batches)


def refuse_long_lines(path: Path, corpus: Corpus, kind: Kind, positions: int) -> None:
    """Raises UserError where a line has more tokens than the model has positions; T5's have no end."""
    if corpus.longest > positions and kind != "seq2seq":
        raise UserError(
            f"{path}: its longest line has {corpus.longest} tokens, but the backbone has {positions} positions; "
            f"set architecture.positions to {corpus.longest} or more"
        )


def interleave(
    narrow: list[Iterator[Rows]], long: list[Iterator[Rows]], pretraining: PretrainingSettings
) -> Iterator[Rows]:
    """One batch a step: documents at evenly spread steps, each file in turn; long rows last.

    So BERT was pretrained (Devlin et al. 2019, appendix A.2: rows of 128 tokens, and of 512 in the last tenth of the
    steps, to learn the positions). From the start, long rows would keep a tiny model from learning its facts in time.
    """
    documents, done = len(narrow) - 1, 0
    short_steps = round((1 - pretraining.long_rows_share) * pretraining.steps)
    for step in range(pretraining.steps):
        facts, *others = narrow if step < short_steps else long
        due = int((step + 1) * pretraining.documents_share) if documents else 0
        yield next(others[done % documents]) if due > done else next(facts)
        done = due


def learning_rate_share(step: int, pretraining: PretrainingSettings) -> float:
    """Share of the full learning rate: linear warm-up, constant, then linear to zero."""
    held = max(HELD_SHARE * pretraining.steps, pretraining.warmup_steps)
    rise = (step + 1) / max(1, pretraining.warmup_steps)
    fall = (pretraining.steps - step) / max(1.0, pretraining.steps - held)
    return min(rise, 1.0, fall)


class Training:
    """A model on its way. Everything that changes from step to step is in `_state`, or follows from the step."""

    def __init__(self, model: PreTrainedModel, pretraining: PretrainingSettings, checkpoint: Checkpoint) -> None:
        rate, parameters = pretraining.learning_rate, model.parameters()
        self.model, self.pretraining, self.checkpoint = model, pretraining, checkpoint
        self.optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda s: learning_rate_share(s, pretraining))
        self.losses: list[tuple[int, float]] = []
        self.recent: list[torch.Tensor] = []  # losses since the last report
        self.tokens, self.seconds, self.done = 0, 0.0, 0

    def run(
        self, batches: Iterator[Rows], loss_of: Callable[[Rows], torch.Tensor], progress: Progress
    ) -> PretrainingReport:
        """All steps, or those that the checkpoint leaves; batches of steps that are done are drawn and not used.

        Raises NotFiniteError where training diverges.
        """
        self._take_up()
        start = time.perf_counter() - self.seconds
        for step, rows in enumerate(islice(batches, self.done, None), start=self.done + 1):
            self.recent.append(self._step(loss_of(rows)))
            self.tokens += int(rows.lengths.sum())
            if step % REPORT_EVERY == 0 or step == self.pretraining.steps:
                self.losses.append((step, self._mean_loss(step)))
                self.recent.clear()
                progress(step, self.pretraining.steps, self.losses[-1][1])
            if step % CHECKPOINT_EVERY == 0:  # right after a report: no losses are waiting
                self.done, self.seconds = step, time.perf_counter() - start
                self.checkpoint.write(self._state())
        broken = not_finite(self.model.named_parameters())
        if broken:
            raise NotFiniteError(f"after the last step {broken} is not finite")
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return PretrainingReport(self.losses, self.tokens, parameters, time.perf_counter() - start)

    def _mean_loss(self, step: int) -> float:
        """Since the last report. Raises NotFiniteError where it is none, before a checkpoint could keep the cause."""
        loss = float(torch.stack(self.recent).mean())
        if not math.isfinite(loss):
            raise NotFiniteError(f"the loss was not finite by step {step}")
        return loss

    def _step(self, loss: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    def _state(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "schedule")}
        return parts | {name: getattr(self, name) for name in ("losses", "tokens", "seconds", "done")}

    def _take_up(self) -> None:
        state = self.checkpoint.read()
        for name, value in (state or {}).items():
            if name in ("model", "optimizer", "schedule"):
                getattr(self, name).load_state_dict(value)
            elif name != "key":
                setattr(self, name, value)


def save(model: PreTrainedModel, tokenizer: object, out: Path) -> None:
    """Write beside the target, then rename."""
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    model.eval().cpu().save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)  # type: ignore[attr-defined]
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)
