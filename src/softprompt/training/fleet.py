"""The forward pass of a fleet: many members over one backbone.

Axes: F members, E examples, R rows (one an example, or one a candidate), K tokens of an answer, M tokens to be read,
W outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.memory import tokens_to_answer
from softprompt.inputs.batches import Batch, Pool, inference_chunks
from softprompt.inputs.encoding import NO_TOKEN
from softprompt.inputs.outputs import OutputSpace, Predictions, Reading, stack_masks
from softprompt.prompts.trainable import FleetParts
from softprompt.tasks.task import AnswerForm
from softprompt.training.cross_entropy import cross_entropy
from softprompt.training.filling import fill_masks, say_the_same
from softprompt.training.fitting import PassSize
from softprompt.training.rows import RowCounter, Rows

Answer = TypeVar("Answer")

FORBIDDEN = float("-inf")


class Fleet:
    """Rows in, losses and answers out. Rows say by number which member's parts they use, and are counted for it."""

    def __init__(self, backbone: Backbone, spaces: Sequence[OutputSpace]) -> None:
        self.backbone = backbone
        self.allowed, self.in_loss = stack_masks(list(spaces), backbone.device)
        self.everything_in_loss = bool(self.in_loss.all())
        (self.form,) = {space.form for space in spaces}  # fleets are planned with one form each
        self._counter = RowCounter(len(spaces), backbone.device)
        self._size = PassSize()  # of passes without gradients

    def rows(self) -> list[Rows]:
        """What has passed through the backbone so far, a member each."""
        return self._counter.rows()

    def counting(self) -> AbstractContextManager[None]:
        """Within it, what device memory runs out for is not counted."""
        return self._counter.if_it_ends_well()

    def read(
        self, batch: Batch, parts: FleetParts, streams: Int[Tensor, "R"] | None = None, *, inference: bool = False
    ) -> Reading:
        """Float32 (or wider) logits at the places where answers are read, and only there.

        On a GPU the body trains in bfloat16; what is scored is read in the dtype of the backbone's weights. `streams`
        are the rows' own in this step, where the backbone drops out. `inference` says that the rows are only to be
        answered, which matters to their count and to nothing else.
        """
        device, (row, place) = self.backbone.device.type, batch.read
        in_bfloat16 = device == "cuda" and torch.is_grad_enabled()
        with torch.autocast(device, torch.bfloat16, enabled=in_bfloat16):
            embeddings, extra = parts.inserted(self.backbone.embed(batch.ids), self.backbone, batch)  # (R, T, D)
            body = self.backbone.rounded if in_bfloat16 else self.backbone
            hidden = body.encode(
                embeddings, batch.attention_mask, batch.read_at, batch.target, parts.prefixes(batch), streams
            )  # (R, K, H)
        passes, backward = 1 + parts.further_passes, hidden.requires_grad
        self._counter.count(batch.member, passes=passes, backward=backward, inference=inference)
        hidden = hidden[row, place]  # (M, H)
        logits = parts.outputs(hidden, batch.member[row])
        logits = self.backbone.project(hidden) if logits is None else logits
        logits = parts.rescored(logits, batch.member[row])
        return parts.combined(Reading(logits, batch.target[row, place], row, batch, extra))

    def losses(self, reading: Reading) -> Float[Tensor, "E"]:
        """What training lowers, an example each.

        label: cross-entropy over the outputs that the member's softmax runs over. candidates: cross-entropy over the
        scores of the candidates. generation: mean cross-entropy of the tokens of a true text, nothing for others.
        tagging: mean cross-entropy of the words. Soft labels: cross-entropy with the shares that they give to classes.
        """
        if reading.batch.soft is not None:
            shares = reading.batch.soft.to(reading.logits.dtype)
            return nn.functional.cross_entropy(reading.logits, shares, reduction="none")
        if self.form == "candidates":
            scores, gold = self._candidate_scores(reading)
            return scores.logsumexp(dim=1) - scores.masked_fill(~gold, FORBIDDEN).logsumexp(dim=1)
        losses = self._mean_by_row(reading, self._token_losses(reading))
        return losses * reading.batch.gold if self.form == "generation" else losses

    def answered(
        self,
        pool: Pool,
        member: Int[Tensor, "E"],
        number: Int[Tensor, "E"],
        parts: FleetParts,
        max_tokens: int,
        answer: Callable[[Reading], Answer],
    ) -> Iterator[tuple[Int[Tensor, "C"], Answer]]:
        """What `answer` makes of the readings of the examples `number` of `member`, in groups: their places among
        these, and its outcome. Groups are smaller than `max_tokens` allows where device memory has no room for them."""

        def answers(chunk: Int[Tensor, "C"]) -> list[tuple[Int[Tensor, "C"], Answer]]:
            with self.counting():
                return [
                    (some, answer(self.read(pool.batch(member[some], number[some]), parts, inference=True)))
                    for some in torch.split(chunk, self._size.of(len(chunk)))
                ]

        fitting = tokens_to_answer(self.backbone.model, max_tokens, int(pool.lengths.min()), pool.answer_width)
        for chunk in inference_chunks(pool, member, number, fitting):
            yield from self._size.fitting(partial(answers, chunk))

    @torch.no_grad()
    def predict(self, pool: Pool, members: Sequence[int], parts: FleetParts, max_tokens: int) -> list[Predictions]:
        """The answers of some members to all of their examples in the pool, in the examples' order."""
        sizes = [pool.sizes[index] for index in members]
        member = torch.repeat_interleave(torch.tensor(members), torch.tensor(sizes))
        number = torch.cat([torch.arange(size) for size in sizes])
        choose: dict[AnswerForm, Callable[[Reading], tuple[Tensor, Tensor]]] = {
            "label": self._likeliest_output,
            "candidates": self._likeliest_candidate,
            "generation": partial(self._written, parts=parts),
            "tagging": self._likeliest_tags,
        }

        def answers(reading: Reading) -> tuple[Tensor, Tensor, Tensor]:
            return *choose[self.form](reading), self.losses(reading).float()

        said, chunks = [], []
        for chunk, answered in self.answered(pool, member, number, parts, max_tokens, answers):
            said.append(answered)
            chunks.append(chunk)
        place = torch.argsort(torch.cat(chunks))
        together = [torch.cat(some).cpu()[place] for some in zip(*said, strict=True)]  # the host waits here at last
        by_member = zip(*(torch.split(some, sizes) for some in together), strict=True)
        return [Predictions(*some) for some in by_member]

    def ranked(
        self, reading: Reading, parts: FleetParts, count: int
    ) -> tuple[Int[Tensor, "E K"], Float[Tensor, "E K"]]:
        """The likeliest answers of each example, best first and at most `count` of them, with their probabilities.

        label and candidates: among those that can be given (0 for candidates that an example lacks). generation: 1 or
        0, whether the text would be written, with the geometric mean of its tokens' probabilities.
        """
        if self.form == "generation":
            likelihood = torch.exp(-self._mean_by_row(reading, self._token_losses(reading)))
            return self._written(reading, parts)[0][:, None], likelihood[:, None]
        if self.form == "candidates":
            scores, _ = self._candidate_scores(reading)
        else:
            scores = reading.logits.masked_fill(~self.allowed[reading.batch.member], FORBIDDEN)
        best = scores.sort(dim=1, descending=True, stable=True).indices[:, :count]
        return best, scores.softmax(dim=1).gather(1, best)

    def _token_losses(self, reading: Reading) -> Float[Tensor, "M"]:
        logits = reading.logits
        if not self.everything_in_loss:  # over a whole vocabulary the mask would cost as much as the softmax
            logits = logits.masked_fill(~self.in_loss[reading.batch.member[reading.row]], FORBIDDEN)
        return cross_entropy(logits, reading.target)

    def _mean_by_row(self, reading: Reading, values: Float[Tensor, "M"]) -> Float[Tensor, "R"]:
        rows = len(reading.batch.member)
        if len(values) == rows:
            return values
        sums = values.new_zeros(rows).index_add(0, reading.row, values)
        return sums / values.new_zeros(rows).index_add(0, reading.row, torch.ones_like(values))

    def _candidate_scores(self, reading: Reading) -> tuple[Float[Tensor, "E C"], Tensor]:
        """The mean log-probability of each candidate's tokens, or what a head gives it; and which ones are right."""
        batch = reading.batch
        one_output = reading.logits.shape[1] == 1  # a head
        by_row = reading.logits[:, 0] if one_output else -self._mean_by_row(reading, self._token_losses(reading))
        shape = (len(batch.first), batch.most)
        where = (batch.example, batch.candidate)
        scores = by_row.new_full(shape, FORBIDDEN).index_put(where, by_row)
        gold = batch.gold.new_zeros(shape).index_put(where, batch.gold)
        return scores, gold

    def _likeliest_output(self, reading: Reading) -> tuple[Int[Tensor, "E"], Int[Tensor, "E"]]:
        permitted = reading.logits.masked_fill(~self.allowed[reading.batch.member], FORBIDDEN)
        return permitted.argmax(dim=1), _rank(permitted, reading.target)

    def _likeliest_candidate(self, reading: Reading) -> tuple[Int[Tensor, "E"], Int[Tensor, "E"]]:
        scores, gold = self._candidate_scores(reading)
        return scores.argmax(dim=1), _rank(scores, scores.masked_fill(~gold, FORBIDDEN).argmax(dim=1))

    def _likeliest_tags(self, reading: Reading) -> tuple[Int[Tensor, "E K"], Int[Tensor, "E"]]:
        """A tag for every word; rank 1 where all of a sentence are right, else 2."""
        permitted = reading.logits.masked_fill(~self.allowed[reading.batch.member[reading.row]], FORBIDDEN)
        chosen = permitted.argmax(dim=1)
        tags = torch.full_like(reading.batch.target, NO_TOKEN).index_put(reading.batch.read, chosen)
        return tags, 2 - (tags == reading.batch.target).all(dim=1).long()

    def _written(self, reading: Reading, parts: FleetParts) -> tuple[Int[Tensor, "E"], Int[Tensor, "E"]]:
        """1 where the backbone writes the text; rank 1 where that is right, else 2.

        A masked one fills masks, and the words count; else every token has to be the likeliest in its place.
        """
        if self.backbone.kind == "masked":
            filled = fill_masks(reading, partial(self.read, parts=parts, inference=True))
            written = say_the_same(self.backbone, filled, reading.batch.target).long()
        else:
            hits = (reading.logits.argmax(dim=1) == reading.target).float()
            written = (self._mean_by_row(reading, hits) == 1).long()
        return written, 2 - (written == reading.batch.gold.long()).long()


def _rank(scores: Float[Tensor, "E C"], gold: Int[Tensor, "E"]) -> Int[Tensor, "E"]:
    """The place of the gold answer from the best on; of equals the lower number stands first, as in argmax. What is no
    number counts as better than everything, so that it never makes a hit."""
    own = scores.gather(1, gold[:, None])
    number = torch.arange(scores.shape[1], device=scores.device)
    before = ~(scores <= own) | ((scores == own) & (number < gold[:, None]))
    return 1 + before.sum(dim=1)
