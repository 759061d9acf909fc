"""Soft prompts and their reparametrisations, one module a member, computed together for a fleet.

Source of the encoders: P-tuning (Liu et al. 2021, section 3.2; THUDM/P-tuning LAMA/p_tuning/prompt_encoder.py; the wide
LSTM: PT-Fewshot/pet/wrapper.py).
Axes: F members of a fleet, P prompt length, D word-embedding size, S hidden size of one LSTM direction, G = 4 S
for its gates, E = 2 S.
"""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

EncoderName = Literal["lstm", "mlp", "identity"]  # what a section of params.yaml may name
AnyEncoder = EncoderName | Literal["wide_lstm"]


class PromptEncoder(nn.Module):
    """P vectors, passed through an LSTM with MLP, an MLP, or nothing. Calling it gives one member's (P, D) prompt.

    Each direction of the LSTM has D / 2 hidden numbers, of the wide one D.
    """

    def __init__(self, initial: Float[Tensor, "P D"], encoder: AnyEncoder) -> None:
        super().__init__()
        size = initial.shape[1]
        self.embedding = nn.Parameter(initial.clone())
        hidden = {"lstm": size // 2, "wide_lstm": size}.get(encoder)
        self.lstm = nn.LSTM(size, hidden, 2, batch_first=True, bidirectional=True) if hidden else None
        states = 2 * hidden if hidden else size
        self.mlp = (
            nn.Sequential(nn.Linear(states, size), nn.ReLU(), nn.Linear(size, size)) if encoder != "identity" else None
        )

    def vectors(self) -> Float[Tensor, "P D"]:
        """What goes into the LSTM or MLP; subclasses may make it of several parameters."""
        return self.embedding

    def forward(self) -> Float[Tensor, "P D"]:
        vectors = self.vectors()
        if self.lstm is not None:
            vectors = self.lstm(vectors[None])[0][0]
        return self.mlp(vectors) if self.mlp is not None else vectors


def fleet_prompts(encoders: Sequence[PromptEncoder]) -> Float[Tensor, "F P D"]:
    """Every member's prompt in one pass, the shorter ones followed by vectors that no row refers to."""
    if len(encoders) == 1:
        return encoders[0]()[None]
    vectors = pad_sequence([encoder.vectors() for encoder in encoders], batch_first=True)  # (F, P, D)
    lengths = torch.tensor([len(encoder.embedding) for encoder in encoders], device=vectors.device)
    lstms = [encoder.lstm for encoder in encoders if encoder.lstm is not None]
    if lstms:
        vectors = _fleet_lstm(lstms, vectors, lengths)
    mlps = [encoder.mlp for encoder in encoders if encoder.mlp is not None]
    return _fleet_mlp(mlps, vectors) if mlps else vectors


def _fleet_mlp(mlps: Sequence[nn.Sequential], vectors: Float[Tensor, "F P E"]) -> Float[Tensor, "F P D"]:
    def linear(index: int, inputs: Tensor) -> Tensor:
        layers = [cast(nn.Linear, mlp[index]) for mlp in mlps]
        weight = torch.stack([layer.weight for layer in layers])  # (F, D, E)
        bias = torch.stack([layer.bias for layer in layers])  # (F, D)
        return torch.baddbmm(bias[:, None], inputs, weight.mT)

    return linear(2, torch.relu(linear(0, vectors)))


def _fleet_lstm(lstms: Sequence[nn.LSTM], vectors: Float[Tensor, "F P D"], lengths: Tensor) -> Float[Tensor, "F P E"]:
    """torch.nn.LSTM (bidirectional, all layers) with weights of its own for every member.

    A member's padding must not reach its backward direction, so states move only at positions below its length.
    """
    present = torch.arange(vectors.shape[1], device=vectors.device) < lengths[:, None]  # (F, P)
    both = torch.stack([present, present.flip(1)])  # (2, F, P): forward and backward reading order
    for layer in range(lstms[0].num_layers):
        inputs = torch.stack([vectors, vectors.flip(1)])  # (2, F, P, I)
        states = _both_directions(lstms, layer, inputs, both)  # (2, F, P, S)
        vectors = torch.cat([states[0], states[1].flip(1)], dim=-1)  # (F, P, 2 S)
    return vectors


def _both_directions(
    lstms: Sequence[nn.LSTM], layer: int, inputs: Float[Tensor, "2 F P I"], present: Tensor
) -> Float[Tensor, "2 F P S"]:
    def stacked(name: str) -> Tensor:
        return torch.stack(
            [torch.stack([getattr(lstm, f"{name}_l{layer}{suffix}") for lstm in lstms]) for suffix in ("", "_reverse")]
        )  # (2, F, ...)

    bias = stacked("bias_ih") + stacked("bias_hh")  # (2, F, G)
    gates_from_input = torch.einsum("bfpi,bfgi->bfpg", inputs, stacked("weight_ih")) + bias[:, :, None]
    weight = stacked("weight_hh")  # (2, F, G, S)
    hidden = inputs.new_zeros(*inputs.shape[:2], weight.shape[-1])  # (2, F, S)
    memory = torch.zeros_like(hidden)
    outputs = []
    for position in range(inputs.shape[2]):
        gates = gates_from_input[:, :, position] + torch.einsum("bfs,bfgs->bfg", hidden, weight)
        enter, forget, candidate, leave = gates.chunk(4, dim=-1)
        new_memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(candidate)
        new_hidden = torch.sigmoid(leave) * torch.tanh(new_memory)
        here = present[:, :, position, None]
        memory = torch.where(here, new_memory, memory)
        hidden = torch.where(here, new_hidden, hidden)
        outputs.append(hidden)
    return torch.stack(outputs, dim=2)


def vocabulary_scale(embeddings: Float[Tensor, "V D"]) -> float:
    """Standard deviation of the word embeddings, the scale at which a random vector looks like a word."""
    return float(embeddings.std())


def random_prompt(
    length: int, embeddings: Float[Tensor, "V D"], scale: float, generator: torch.Generator
) -> Float[Tensor, "P D"]:
    """Normal vectors with the given standard deviation, drawn on the CPU so that devices agree."""
    return scale * torch.randn(length, embeddings.shape[1], generator=generator, dtype=embeddings.dtype)


def new_encoder(
    encoder: AnyEncoder, length: int, embeddings: Float[Tensor, "V D"], generator: torch.Generator
) -> PromptEncoder:
    """A fresh encoder in float32 (float64 only over a float64 backbone).

    Behind an LSTM or MLP the vectors start as nn.Embedding does, N(0, 1); bare ones start at the scale of words.
    """
    scale = vocabulary_scale(embeddings) if encoder == "identity" else 1.0
    initial = random_prompt(length, embeddings, scale, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        fresh = PromptEncoder(initial, encoder)
    return fresh.to(torch.promote_types(embeddings.dtype, torch.float32))
