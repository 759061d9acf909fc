"""Deep prompts: keys and values of their own for every attention of the backbone, direct or made by a small network.

Source: Li and Liang 2021, section 4.3, and XiangLi1999/PrefixTuning, gpt2/train_control.py: Embedding(P, D) ->
Linear(D, 512) -> tanh -> Linear(512, 2 x A x H). Axes: P prefix length, A attentions of a pass, H numbers in one key or
value, D hidden size, R rows.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from softprompt.backbones.attention import WORKING, RowPrefixes
from softprompt.backbones.backbone import Backbone

MIDDLE = 512  # hidden size of the network, as for GPT-2 in the paper
DEVIATION = 0.02  # of direct vectors at the start, as transformers initialises a new embedding


class PrefixEncoder(nn.Module):
    """Calling it gives one member's (P, A, 2, H) prefix: its vectors themselves, or what the network makes of them."""

    def __init__(self, initial: Float[Tensor, "P _"], attentions: int, mlp: nn.Sequential | None = None) -> None:
        super().__init__()
        self.embedding = nn.Parameter(initial.clone())
        self.attentions = attentions
        self.mlp = mlp

    def forward(self) -> Float[Tensor, "P A 2 H"]:
        vectors = self.embedding if self.mlp is None else self.mlp(self.embedding)
        return vectors.unflatten(1, (self.attentions, 2, -1))


def new_prefix(length: int, backbone: Backbone, generator: torch.Generator, *, reparametrised: bool) -> PrefixEncoder:
    """A fresh prefix in float32 (float64 only over a float64 backbone), for a backbone that `cannot_join` accepts."""
    attentions = backbone.attentions
    assert attentions is not None
    numbers = 2 * attentions.count * attentions.size
    dtype = torch.promote_types(backbone.model.dtype, torch.float32)
    if not reparametrised:
        return PrefixEncoder(
            DEVIATION * torch.randn(length, numbers, generator=generator, dtype=dtype), attentions.count
        )
    size = backbone.hidden_size
    initial = torch.randn(length, size, generator=generator, dtype=dtype)  # as nn.Embedding
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        mlp = nn.Sequential(nn.Linear(size, MIDDLE), nn.Tanh(), nn.Linear(MIDDLE, numbers))
    return PrefixEncoder(initial, attentions.count, mlp.to(dtype))


def row_prefixes(prefixes: Sequence[Float[Tensor, "P A 2 H"]], member: Int[Tensor, "R"]) -> RowPrefixes:
    """The prefixes of all members, padded to the longest, for rows that say by number whose they use."""
    lengths = torch.tensor([len(prefix) for prefix in prefixes], device=member.device)
    return RowPrefixes(pad_sequence(list(prefixes), batch_first=True), lengths, member)


def cannot_join(backbone: Backbone) -> str:
    """Why the backbone cannot be given prefixes, or nothing."""
    if backbone.attentions is not None:
        return ""
    return (
        f"{backbone.name} ({backbone.model.config.model_type}) does not attend through transformers' attention "
        f"interface alike in all layers, which is where prefixes are joined; known to: {', '.join(WORKING)}"
    )
