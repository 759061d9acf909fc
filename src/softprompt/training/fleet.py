"""The forward pass of a fleet: many members over one backbone.

Axes: F members, E examples, R rows (one an example, or one a candidate), K tokens of an answer, M tokens to be read,
W outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.dropout import row_streams
from softprompt.inputs.batches import Batch, Pool, inference_chunks
from softprompt.inputs.encoding import NO_TOKEN
from softprompt.inputs.outputs import OutputSpace, Predictions, Reading, stack_masks
from softprompt.prompts.trainable import FleetParts
from softprompt.tasks.task import AnswerForm
from softprompt.training.cross_entropy import cross_entropy
from softprompt.training.filling import fill_masks, say_the_same
from softprompt.training.rows import RowCounter, Rows

FORBIDDEN = float("-inf")


class Fleet:
    """Rows in, losses and answers out. Rows say by number which member's parts they use, and are counted for it."""

    def __init__(self, backbone: Backbone, spaces: Sequence[OutputSpace]) -> None:
        self.backbone = backbone
        self.allowed, self.in_loss = stack_masks(list(spaces), backbone.device)
        self.everything_in_loss = bool(self.in_loss.all())
        (self.form,) = {space.form for space in spaces}  # fleets are planned with one form each
        self._counter = RowCounter(len(spaces), backbone.device)

    def rows(self) -> list[Rows]:
        """What has passed through the backbone so far, a member each."""
        return self._counter.rows()

    def read(
        self, batch: Batch, parts: FleetParts, noise: Int[Tensor, "F"] | None = None, *, inference: bool = False
    ) -> Reading:
        """Float32 (or wider) logits at the places where answers are read, and only there.

        On a GPU the body trains in bfloat16; what is scored is read in the dtype of the backbone's weights. `noise` are
        the members' streams of this step, where the backbone drops out. `inference` says that the rows are only to be
        answered, which matters to their count and to nothing else.
        """
        streams = None if noise is None else row_streams(noise, batch.member)
        device, row, place = self.backbone.device.type, *batch.places()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda" and torch.is_grad_enabled()):
            embeddings, extra = parts.inserted(self.backbone.embed(batch.ids), self.backbone, batch)  # (R, T, D)
            hidden = self.backbone.encode(
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
        self, pool: Pool, member: Int[Tensor, "E"], number: Int[Tensor, "E"], parts: FleetParts, max_tokens: int
    ) -> Iterator[tuple[Int[Tensor, "C"], Reading]]:
        """What is said of the examples `number` of `member`, in groups: their places among these, and the reading."""
        for chunk in inference_chunks(pool, member, number, max_tokens):
            yield chunk, self.read(pool.batch(member[chunk], number[chunk]), parts, inference=True)

    @torch.no_grad()
    def predict(self, pool: Pool, members: Sequence[int], parts: FleetParts, max_tokens: int) -> list[Predictions]:
        """The answers of some members to all of their examples in the pool, in the examples' order."""
        sizes = [pool.sizes[index] for index in members]
        member = torch.repeat_interleave(torch.tensor(members), torch.tensor(sizes))
        number = torch.cat([torch.arange(size) for size in sizes])
        wide = (pool.answer_width,) if self.form == "tagging" else ()
        prediction, gold_rank = torch.full((len(number), *wide), NO_TOKEN), torch.zeros_like(number)
        loss = torch.zeros(len(number))
        choose: dict[AnswerForm, Callable[[Reading], tuple[Tensor, Tensor]]] = {
            "label": self._likeliest_output,
            "candidates": self._likeliest_candidate,
            "generation": partial(self._written, parts=parts),
            "tagging": self._likeliest_tags,
        }
        for chunk, reading in self.answered(pool, member, number, parts, max_tokens):
            loss[chunk] = self.losses(reading).float().cpu()
            chosen, rank = choose[self.form](reading)
            prediction[chunk], gold_rank[chunk] = chosen.cpu(), rank.cpu()
        by_member = zip(*(torch.split(answers, sizes) for answers in (prediction, gold_rank, loss)), strict=True)
        return [Predictions(*answers) for answers in by_member]

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
        return sums / torch.bincount(reading.row, minlength=rows)

    def _candidate_scores(self, reading: Reading) -> tuple[Float[Tensor, "E C"], Tensor]:
        """The mean log-probability of each candidate's tokens, or what a head gives it; and which ones are right."""
        batch = reading.batch
        one_output = reading.logits.shape[1] == 1  # a head
        by_row = reading.logits[:, 0] if one_output else -self._mean_by_row(reading, self._token_losses(reading))
        shape = (int(batch.example.max()) + 1, int(batch.candidate.max()) + 1)
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
        tags = torch.full_like(reading.batch.target, NO_TOKEN).index_put(reading.batch.places(), chosen)
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
