"""LSTMs of all members of a fleet, each with weights of its own, as one: torch.nn.LSTM, bidirectional, any layers.

Axes: F members, P positions, I numbers that a layer reads, S hidden size of one direction, G = 4 S for its gates;
B = 2 F: the members read forwards, then the same read backwards.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.device import uploaded
from softprompt.prompts.side_by_side import product, side_by_side


def fleet_lstm(
    lstms: Sequence[nn.LSTM], vectors: Float[Tensor, "F P I"], lengths: Sequence[int]
) -> Float[Tensor, "F P 2*S"]:
    """States of every member's first `lengths` positions; what stands behind them is no state."""
    behind = None
    if min(lengths) < vectors.shape[1]:
        (ends,) = uploaded([torch.tensor(lengths)], vectors.device)
        behind = (torch.arange(vectors.shape[1], device=vectors.device) >= ends[:, None]).flip(1)[..., None]
    for layer in range(lstms[0].num_layers):
        forwards = _gates_from_input(lstms, f"l{layer}", vectors)
        backwards = _gates_from_input(lstms, f"l{layer}_reverse", vectors.flip(1))
        if behind is not None:  # states stay 0 where nothing enters, so that what is behind a prompt never reaches it
            backwards = backwards.masked_fill(behind, 0.0)
        weight = [side_by_side([getattr(one, f"weight_hh_l{layer}{way}") for one in lstms]) for way in ("", "_reverse")]
        gates = torch.cat([forwards, backwards]).transpose(0, 1).contiguous()  # (P, B, G)
        states = cast(Tensor, _Recurrence.apply(gates, torch.cat(weight)))  # type: ignore[no-untyped-call] # (P, B, S)
        there, back = states.transpose(0, 1).chunk(2)
        vectors = torch.cat([there, back.flip(1)], dim=2)
    return vectors


def _gates_from_input(lstms: Sequence[nn.LSTM], name: str, inputs: Float[Tensor, "F P I"]) -> Float[Tensor, "F P G"]:
    weight, *biases = (
        side_by_side([getattr(one, f"{kind}_{name}") for one in lstms]) for kind in ("weight_ih", "bias_ih", "bias_hh")
    )
    return product(weight, inputs, biases[0] + biases[1])


class _Recurrence(torch.autograd.Function):
    """One layer from its gates' inputs to its states. The gradient of the weights is one product over all positions,
    where the graph of single steps would have one at each and add them up."""

    @staticmethod
    def forward(ctx: Any, gates: Float[Tensor, "P B G"], weight: Float[Tensor, "B G S"]) -> Float[Tensor, "P B S"]:
        positions, rows, size = len(gates), len(weight), weight.shape[2]
        hidden, memory = (gates.new_zeros(positions + 1, rows, size) for _ in range(2))  # before each position
        opened, new = torch.empty_like(gates), torch.empty_like(hidden[1:])
        shown = torch.empty_like(new)  # tanh of the memory
        turned = weight.mT.contiguous()  # a CPU multiplies rows by it, five times as fast
        for now in range(positions):
            entering = torch.baddbmm(gates[now, :, None], hidden[now, :, None], turned)[:, 0]
            torch.sigmoid(entering, out=opened[now])
            torch.tanh(entering[:, 2 * size : 3 * size], out=new[now])
            enter, forget, _, leave = opened[now].chunk(4, dim=1)
            torch.mul(forget, memory[now], out=memory[now + 1])
            memory[now + 1].addcmul_(enter, new[now])
            torch.tanh(memory[now + 1], out=shown[now])
            torch.mul(leave, shown[now], out=hidden[now + 1])
        ctx.save_for_backward(weight, hidden, memory, opened, new, shown)
        return hidden[1:].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Float[Tensor, "P B S"]) -> tuple[Float[Tensor, "P B G"], Float[Tensor, "B G S"]]:
        weight, hidden, memory, opened, new, shown = ctx.saved_tensors
        enter, forget, _, leave = opened.chunk(4, dim=2)
        slope = (opened * (1 - opened)).view(*new.shape[:2], 4, -1)  # of the memory by the first three gates
        slope[:, :, 0] *= new
        slope[:, :, 1] *= memory[:-1]
        slope[:, :, 2] = enter * (1 - new * new)
        slope[:, :, 3] *= shown  # of the state by the last
        through = leave * (1 - shown * shown)  # of the state by the memory
        by_gates = torch.empty_like(slope)
        by_state, by_memory = gradients[0][-1], torch.zeros_like(new[0])
        for now in range(len(opened) - 1, -1, -1):
            by_memory = by_memory.addcmul(by_state, through[now])
            torch.mul(slope[now, :, :3], by_memory[:, None], out=by_gates[now, :, :3])
            torch.mul(slope[now, :, 3], by_state, out=by_gates[now, :, 3])
            by_memory = by_memory * forget[now]
            if now:
                entering = by_gates[now].flatten(1)[:, None]  # (B, 1, G)
                by_state = torch.baddbmm(gradients[0][now - 1, :, None], entering, weight)[:, 0]
        flat = by_gates.flatten(2)
        return flat, torch.bmm(flat.permute(1, 2, 0), hidden[:-1].transpose(0, 1))
