"""The same parameter of all members in one tensor, so that a fleet takes as few operators as one member.

While several members train (`stacked`), their parameters of one name are the rows of one leaf. The leaf belongs to the
run: it gets the gradients, and an optimiser moves it. A parameter stays where it is in its part and knows its row,
whose numbers are its own, so that it is saved, restored and counted as ever.
Axes: F members, N rows of a leaf; the others are those of the parameter.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad


class _Place(NamedTuple):
    leaf: Tensor
    row: int


@dataclass(frozen=True)
class Stack:
    """One leaf: for each row the number of the first member that holds it, and how many numbers it has. The others are
    padding: zeros behind those of a smaller parameter, which have no gradient."""

    leaf: Float[Tensor, "N *parameter"]
    owners: Sequence[int]
    sizes: Sequence[int]


def side_by_side(parameters: Sequence[Float[Tensor, "*parameter"]]) -> Float[Tensor, "F *parameter"]:
    """One of each member, the smaller ones followed by zeros: the leaf itself where these are its rows, and else rows
    or copies with the graph that leads back to what trains."""
    largest = _largest(parameters)
    places: list[_Place | None] = [getattr(one, "place", None) for one in parameters]
    there = [place for place in places if place is not None]
    if not there:
        return _padded(parameters, largest)
    leaf, rows = there[0].leaf, [place.row for place in there]
    if rows != list(range(len(leaf))):
        leaf = torch.stack([leaf[row] for row in rows])
    return leaf if leaf.shape[1:] == largest else leaf[(slice(None), *map(slice, largest))]


def linear(layers: Sequence[nn.Linear], inputs: Float[Tensor, "F P I"]) -> Float[Tensor, "F P O"]:
    """Every member's own layer."""
    weight, bias = (side_by_side([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
    return product(weight, inputs, bias)


def product(
    weight: Float[Tensor, "F O I"], inputs: Float[Tensor, "F P I"], bias: Float[Tensor, "F O"]
) -> Float[Tensor, "F P O"]:
    """As nn.functional.linear. With the weights in front their gradient comes as they lie, and is not copied."""
    return torch.baddbmm(bias[..., None], weight, inputs.mT).mT


@contextmanager
def stacked(members: Sequence[nn.Module]) -> Iterator[list[Stack]]:
    """Within it, what trains of several members; what some of them share is one row. A lone member stays as it is, and
    no weights of a backbone are ever copied."""
    held: dict[str, dict[nn.Parameter, int]] = {}  # by name: whose each parameter is
    for number, member in enumerate(members if len(members) > 1 else ()):
        for name, parameter in member.named_parameters():
            if parameter.requires_grad:
                held.setdefault(name, {}).setdefault(parameter, number)
    with ExitStack() as parting:
        yield [Stack(_leaf(list(of), parting), tuple(of.values()), [one.numel() for one in of]) for of in held.values()]


def _leaf(parameters: Sequence[nn.Parameter], parting: ExitStack) -> Float[Tensor, "N *parameter"]:
    """A new one, of which these become rows until they part."""
    leaf = _padded([one.detach() for one in parameters], _largest(parameters)).requires_grad_()
    for row, parameter in enumerate(parameters):
        parameter.data = leaf.detach()[row][tuple(map(slice, parameter.shape))]
        cast(Any, parameter).place = _Place(leaf, row)
        refusing = parameter.register_post_accumulate_grad_hook(_refuse)  # type: ignore[no-untyped-call]
        parting.callback(refusing.remove)
        parting.callback(delattr, parameter, "place")
    return leaf


def _refuse(parameter: Tensor) -> None:
    """Of a part that gathers otherwise: nothing would move its parameters."""
    raise RuntimeError(f"a parameter {tuple(parameter.shape)} got a gradient of its own; gather it by side_by_side")


def _padded(parameters: Sequence[Tensor], largest: torch.Size) -> Tensor:
    if len(parameters) == 1:
        return parameters[0][None]
    return torch.stack([one if one.shape == largest else _pad(one, largest) for one in parameters])


def _pad(parameter: Tensor, largest: torch.Size) -> Tensor:
    missing = [most - size for size, most in zip(parameter.shape, largest, strict=True)]
    return pad(parameter, [number for behind in reversed(missing) for number in (0, behind)])


def _largest(parameters: Sequence[Tensor]) -> torch.Size:
    return torch.Size(max(sizes) for sizes in zip(*(one.shape for one in parameters), strict=True))
