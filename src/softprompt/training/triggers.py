"""Gradient-guided search for the tokens of a trigger, for all members of a fleet side by side.

The gradient of a first batch puts the word that promises most into every position, so that nothing of what the search
starts from can be kept. Then a round reads a batch and the gradient at the trigger, draws one position of it, and tries
the tokens that promise most there on a fresh batch beside the present one. Every pass of a batch counts as one step of
the budget, with or without a gradient; evaluations on dev do not, as in the common loop.

Axes: F members, P trigger length, D word-embedding size, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.inputs.batches import Batch, Pool, shuffled_rows
from softprompt.prompts.label_words import LabelWords
from softprompt.prompts.side_by_side import side_by_side
from softprompt.prompts.soft_prompt import FleetPrompts
from softprompt.prompts.token_prompt import TokenPrompt
from softprompt.prompts.trainable import FleetParts, gather
from softprompt.seeding import torch_generator
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork, curve_point, keep_best
from softprompt.training.member import Member, Trained

FIRST_WORDS = 1  # steps: the gradient that replaces what the search starts from
LEAST_ROUND = 3  # steps: the gradient, the present trigger on a fresh batch, one other


def first_order_gains(gradient: Float[Tensor, "D"], embeddings: Float[Tensor, "V D"]) -> Float[Tensor, "V"]:
    """How much the loss would fall with each token in place, to first order and up to a constant: -(E . gradient)."""
    return -(embeddings @ gradient)


def usable_tokens(backbone: Backbone, member: Member) -> Bool[Tensor, "V"]:
    """What may stand in a trigger: no special tokens, no answers of train or labels, nothing that begins with a
    capital letter (AutoPrompt's filter against proper nouns)."""
    tokenizer, size = backbone.tokenizer, int(backbone.model.config.vocab_size)
    usable = torch.zeros(size, dtype=torch.bool)
    for token in range(min(size, len(tokenizer))):
        usable[token] = not tokenizer.decode([token]).strip()[:1].isupper()
    usable[[i for i in {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder} if i < size]] = False
    if member.space.form == "label":
        usable[member.train.target[:, 0]] = False
        if not bool(member.space.in_loss.all()):
            usable[member.space.in_loss.nonzero()[:, 0]] = False
    if LabelWords.name in member.trainable:
        usable[member.trainable.part(LabelWords).words[:, 1:].clamp(min=0).flatten().cpu()] = False
    return usable


@dataclass
class _Seeker:
    """A member under way: its trigger, the steps it may still take, the losses since its last evaluation, and whether
    dev's loss says what is best, as where there are no labels to be right about."""

    trigger: TokenPrompt
    usable: Bool[Tensor, "V"]
    left: int
    positions: torch.Generator
    by_loss: bool
    losses: list[float] = field(default_factory=list)

    def promising(
        self, gradient: Float[Tensor, "D"], embeddings: Float[Tensor, "V D"], place: int, count: int
    ) -> Int[Tensor, "N"]:
        """The usable tokens that the loss would fall most with in a place, without the one that is there."""
        gains = first_order_gains(gradient, embeddings).masked_fill(~self.usable, float("-inf"))
        return gains.index_fill(0, self.trigger.tokens[place : place + 1], float("-inf")).topk(count).indices

    def tries(self, candidates: int) -> int:
        """Tokens to try in the next round: `candidates`, or as many as there are steps for."""
        return min(candidates, self.left - 2)


class TriggerSearch:
    """The search of a fleet. `before` says what each member has used of its budget already."""

    def __init__(self, work: FleetWork, candidates: int, before: Sequence[Trained]) -> None:
        backbone, members, budget = work.backbone, work.members, work.budget
        self.backbone, self.members, self.budget = backbone, members, budget
        self.candidates, self.inference_tokens = candidates, work.inference_tokens
        self.fleet = Fleet(backbone, [member.space for member in members])
        self.train_pool = Pool([member.train for member in members], backbone.device)
        self.dev_pool = Pool([member.dev for member in members], backbone.device)
        self.orders = [
            shuffled_rows(len(one.train), budget.batch_size, torch_generator(one.identity, "order")) for one in members
        ]
        self.seekers = [
            _Seeker(
                member.trainable.part(TokenPrompt),
                usable_tokens(backbone, member).to(backbone.device),
                budget.steps - one.steps,
                torch_generator(member.identity, "position"),
                by_loss=not data.task.labels,
            )
            for member, data, one in zip(members, work.data, before, strict=True)
        ]
        self.embeddings = backbone.word_embeddings().to(backbone.device)
        self.trained = list(before)
        self.active = list(range(len(members)))

    def run(self) -> list[Trained]:
        """Search until every member has used its steps or its patience; each keeps its best trigger on dev."""
        self._first_words()
        while self.active:
            self._round()
        for trained, rows in zip(self.trained, self.fleet.rows(), strict=True):
            trained.rows += rows
        return self.trained

    def _first_words(self) -> None:
        """Replace every token of the start."""
        gradients = self._gradients()
        for index, seeker in enumerate(self.seekers):
            for place in range(len(seeker.trigger.tokens)):
                token = seeker.promising(gradients[index, place], self.embeddings, place, 1)
                seeker.trigger.put(place, token, self.embeddings)
            seeker.left -= FIRST_WORDS
            self.trained[index].steps += FIRST_WORDS

    def _round(self) -> None:
        gradients = self._gradients()
        places, tokens = {}, {}
        for index in self.active:
            seeker = self.seekers[index]
            place = int(torch.randint(len(seeker.trigger.tokens), (1,), generator=seeker.positions))
            tries = seeker.tries(self.candidates)
            places[index] = place
            tokens[index] = seeker.promising(gradients[index, place], self.embeddings, place, tries)
        losses = self._losses(places, tokens)
        for index in self.active:
            self._adopt(index, places[index], tokens[index], losses[index])
        self._evaluate([index for index in self.active if self._evaluation_is_due(index, 2 + len(tokens[index]))])

    def _gradients(self) -> Float[Tensor, "F P D"]:
        """Of the mean loss of a batch, at every member's trigger."""
        prompts = self._prompts().requires_grad_()
        losses = self._example_losses(self._batch(self._drawn()), prompts)
        return torch.autograd.grad(losses.sum() / self.budget.batch_size, prompts)[0]

    @torch.no_grad()
    def _losses(self, places: dict[int, int], tokens: dict[int, Tensor]) -> dict[int, Float[Tensor, "M"]]:
        """The mean loss of a fresh batch with a member's present trigger, and with each of the other tokens in place.
        Looked at once, after all passes."""
        present, drawn = self._prompts(), self._drawn()
        tried, found = [], []
        for number in range(1 + max(map(len, tokens.values()))):
            prompts = present.clone()
            trying = {index: place for index, place in places.items() if number <= len(tokens[index])}
            for index, place in trying.items() if number else ():
                prompts[index, place] = self.embeddings[tokens[index][number - 1 : number]][0].to(prompts.dtype)
            batch = self._batch({index: drawn[index] for index in trying})
            by_example = self._example_losses(batch, prompts).view(len(trying), -1)
            found.append(by_example.mean(dim=1).to(prompts.dtype))
            tried += list(trying)
        losses, owner = torch.cat(found).cpu(), torch.tensor(tried)
        return {index: losses[owner == index] for index in places}

    def _adopt(self, index: int, place: int, tokens: Int[Tensor, "N"], losses: Float[Tensor, "M"]) -> None:
        """Take the best of the tokens tried where it beats the present one on the same batch."""
        seeker = self.seekers[index]
        best = int(losses[1:].argmin())
        if bool(losses[1 + best] < losses[0]):
            seeker.trigger.put(place, tokens[best : best + 1], self.embeddings)
        seeker.losses.append(float(torch.minimum(losses[1 + best], losses[0])))

    def _evaluation_is_due(self, index: int, steps: int) -> bool:
        """Count the steps of a round; whether they reached the next evaluation on dev, or the end."""
        seeker, every = self.seekers[index], self.budget.eval_every
        before, self.trained[index].steps = self.trained[index].steps, self.trained[index].steps + steps
        seeker.left -= steps
        return seeker.left < LEAST_ROUND or (before + steps) // every > before // every

    def _evaluate(self, due: list[int]) -> None:
        if not due:
            return
        parts = gather([member.trainable for member in self.members])
        outcomes = self.fleet.predict(self.dev_pool, due, parts, self.inference_tokens)
        for index, predictions in zip(due, outcomes, strict=True):
            seeker, trained = self.seekers[index], self.trained[index]
            loss = sum(seeker.losses) / len(seeker.losses)
            trained.curve.append(curve_point(self.members[index], trained.steps, loss, predictions))
            keep_best([self.members[index]], [trained], trained.steps, self.budget.patience, by_loss=seeker.by_loss)
            seeker.losses.clear()
            if seeker.left < LEAST_ROUND or trained.failure or trained.evaluations_since_best >= self.budget.patience:
                self.active.remove(index)

    def _prompts(self) -> Float[Tensor, "F P D"]:
        return side_by_side([seeker.trigger.vectors for seeker in self.seekers])

    def _example_losses(self, batch: Batch, prompts: Float[Tensor, "F P D"]) -> Float[Tensor, "E"]:
        """The losses of a batch with other prompts than the members' own."""
        own = gather([member.trainable for member in self.members]).by_name
        parts = FleetParts({**own, TokenPrompt.name: FleetPrompts(prompts)})
        return self.fleet.losses(self.fleet.read(batch, parts))

    def _drawn(self) -> dict[int, Int[Tensor, "B"]]:
        """Fresh examples of every member that is still searching."""
        return {index: next(self.orders[index]) for index in self.active}

    def _batch(self, drawn: Mapping[int, Int[Tensor, "B"]]) -> Batch:
        members = torch.tensor(list(drawn)).repeat_interleave(self.budget.batch_size)
        return self.train_pool.batch(members, torch.cat(list(drawn.values())))
