"""The machine's limit: the plain matrix products of a step, with nothing between them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from softprompt.benchmark.clock import Timed, at_each_step, wait_for


@dataclass(frozen=True)
class Operand:
    """A matrix as it lies in memory."""

    shape: tuple[int, int]
    stride: tuple[int, int]
    dtype: torch.dtype

    @classmethod
    def of(cls, matrix: Tensor) -> "Operand":
        (rows, columns), (down, across) = matrix.shape, matrix.stride()
        return cls((rows, columns), (down, across), matrix.dtype)

    def drawn(self, device: torch.device) -> Tensor:
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=device).normal_()


@dataclass(frozen=True)
class Product:
    """(M, K) times (K, N)."""

    left: Operand
    right: Operand

    @property
    def flops(self) -> int:
        return 2 * self.left.shape[0] * self.left.shape[1] * self.right.shape[1]


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call] # it has no types
    """Notes the products that run within it. Those of batches of small matrices, such as attention's, are left out:
    what is bare has as little to do as can be."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: list[Product] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            left, right = args[-2:]
            self.products.append(Product(Operand.of(left), Operand.of(right)))
        return func(*args, **(kwargs or {}))


def products_of_first_step(train: Callable[[], object]) -> list[Product]:
    """What a training multiplies until its optimiser has stepped once."""
    upto: list[int] = []
    with _Recorder() as recorder, at_each_step(lambda: upto.append(len(recorder.products))):
        train()
    return recorder.products[: upto[0]]


class BareProducts:
    """The same products one after the other, between matrices and into places that are there before."""

    def __init__(self, products: Sequence[Product], device: torch.device) -> None:
        self.device = device
        self.flops = sum(product.flops for product in products)
        drawn = {operand: operand.drawn(device) for one in products for operand in (one.left, one.right)}
        places = {one: drawn[one.left] @ drawn[one.right] for one in products}
        self._work = [(drawn[one.left], drawn[one.right], places[one]) for one in products]

    def run(self) -> Timed:
        """A step's worth."""
        wait_for(self.device)
        started = time.perf_counter()
        for left, right, place in self._work:
            torch.mm(left, right, out=place)
        wait_for(self.device)
        return Timed(time.perf_counter() - started)
