"""The forward pass of a fleet: many members over one backbone. Axes: F members, R rows, W outputs."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.training.batches import Batch, Pool, inference_chunks
from softprompt.training.member import Answered, AnswerSpace, fleet_heads, stack_masks

FORBIDDEN = float("-inf")


class Fleet:
    """Rows in, masked logits out. `prompts` and `heads` are those of the members, in order, or None."""

    def __init__(self, backbone: Backbone, spaces: Sequence[AnswerSpace]) -> None:
        self.backbone = backbone
        self.allowed, self.in_loss = stack_masks(list(spaces), backbone.device)
        self.everything_in_loss = bool(self.in_loss.all())

    def logits(
        self, batch: Batch, prompts: Float[Tensor, "F P D"] | None, heads: Sequence[nn.Linear] | None
    ) -> Float[Tensor, "R W"]:
        """Float32 (or wider) logits of each row at the place where its answer is read."""
        on_gpu = self.backbone.device.type == "cuda"
        with torch.autocast(self.backbone.device.type, torch.bfloat16, enabled=on_gpu):
            embeddings = self.backbone.embed(batch.ids)  # (R, T, D)
            if prompts is not None:
                embeddings = insert_prompts(embeddings, prompts, batch)
            hidden = self.backbone.encode(embeddings, batch.attention_mask, batch.read_at)  # (R, H)
            logits = fleet_heads(heads, hidden, batch.member) if heads else self.backbone.project(hidden)  # (R, W)
        return logits.float() if logits.dtype == torch.bfloat16 else logits

    def losses(self, logits: Float[Tensor, "R W"], batch: Batch) -> Float[Tensor, "R"]:
        """Cross-entropy of each row over the outputs that its member's softmax runs over."""
        if not self.everything_in_loss:  # over a whole vocabulary the mask would cost as much as the softmax
            logits = logits.masked_fill(~self.in_loss[batch.member], FORBIDDEN)
        return nn.functional.cross_entropy(logits, batch.target, reduction="none")

    @torch.no_grad()
    def answer(
        self,
        pool: Pool,
        members: Sequence[int],
        prompts: Float[Tensor, "F P D"] | None,
        heads: Sequence[nn.Linear] | None,
        max_tokens: int,
    ) -> list[Answered]:
        """The answers of some members to all of their rows in the pool, in the rows' order."""
        sizes = [pool.sizes[index] for index in members]
        member = torch.repeat_interleave(torch.tensor(members), torch.tensor(sizes))
        row = torch.cat([torch.arange(size) for size in sizes])
        prediction, gold_rank = torch.zeros_like(row), torch.zeros_like(row)
        loss = torch.zeros(len(row))
        for chunk in inference_chunks(pool, member, row, max_tokens):
            batch = pool.batch(member[chunk], row[chunk])
            logits = self.logits(batch, prompts, heads)
            loss[chunk] = self.losses(logits, batch).float().cpu()
            permitted = logits.masked_fill(~self.allowed[batch.member], FORBIDDEN)
            gold = permitted.gather(1, batch.target[:, None])
            prediction[chunk] = permitted.argmax(dim=1).cpu()
            gold_rank[chunk] = 1 + (permitted > gold).sum(dim=1).cpu()
        parts = zip(*(torch.split(answers, sizes) for answers in (prediction, gold_rank, loss)), strict=True)
        return [Answered(*part) for part in parts]


def insert_prompts(
    embeddings: Float[Tensor, "R T D"], prompts: Float[Tensor, "F P D"], batch: Batch
) -> Float[Tensor, "R T D"]:
    """Put each row's member's prompt vectors into the slots of its row."""
    vectors = prompts[batch.member[:, None], batch.slots.clamp(min=0)]  # (R, T, D)
    return torch.where((batch.slots >= 0)[..., None], vectors.to(embeddings.dtype), embeddings)
