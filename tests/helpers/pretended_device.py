"""A device that no machine has: its tensors hold CPU data, and refuse to meet CPU tensors as those of a GPU do.

A tensor subclass on the slot that PyTorch keeps for devices it does not know, and a mode that sees every operator. It
also counts what a GPU's host pays for: operators, copies to the device, and waits for it. Importing this module puts
the device in place for the whole process, so only processes of its own import it (helpers/device_run.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

aten = torch.ops.aten
NAME = "pretended"
DEVICE = torch.device("privateuseone", 0)  # which is called by its name as soon as that is known
ACROSS = {aten.copy_.default, aten._to_copy.default, aten._foreach_copy_.default}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


@dataclass
class Counts:
    """`copies` go from host to device; `waits` are for what the device has still to do, copies from pageable memory
    among them. Views are no operators."""

    operators: int = 0
    copies: int = 0
    waits: int = 0

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(*(one - two for one, two in zip(astuple(self), astuple(other), strict=True)))


COUNTS = Counts()


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())


class OnDevice(Tensor):
    """`host` is what an operator really computes with."""

    host: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, host: Tensor) -> "OnDevice":
        layout = host.shape, host.stride(), host.storage_offset()
        return Tensor._make_wrapper_subclass(cls, *layout, dtype=host.dtype, device=DEVICE)

    def __init__(self, host: Tensor) -> None:
        self.host = host

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return execute(func, args, kwargs or {})

    def __deepcopy__(self, memo: dict[int, Any]) -> "OnDevice":
        copy = OnDevice(self.host.detach().clone()).requires_grad_(self.requires_grad)
        copy._is_param = getattr(self, "_is_param", False)
        return memo.setdefault(id(self), copy)

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: "OnDevice") -> None:
        self.host = value.host

    def tolist(self) -> Any:
        return self.cpu().tolist()


class _Seen(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return execute(func, args, kwargs or {})


@contextmanager
def pretended_device() -> Iterator[torch.device]:
    """The device, which is there within the block."""
    alike, to = torch._has_compatible_shallow_copy_type, PreTrainedModel.to

    def moved(model: PreTrainedModel, *args: Any, **kwargs: Any) -> PreTrainedModel:
        to(model, *args, **kwargs)
        model.tie_weights()  # parameters are new ones, as they cannot change their type in place
        return model

    same_type = mock.patch.object(
        torch, "_has_compatible_shallow_copy_type", lambda one, two: type(one) is type(two) and alike(one, two)
    )
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) goes by way of the CPU
    try:
        with same_type, mock.patch.object(PreTrainedModel, "to", moved), _Seen():
            yield DEVICE
    finally:
        torch._C._set_only_lift_cpu_tensors(False)


def execute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operator, on the host's data. Raises RuntimeError where a GPU would, or where random numbers would differ."""
    wanted = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else None
    leaves = [*_leaves(args), *_leaves(tuple(kwargs.values()))]
    there = [leaf for leaf in leaves if isinstance(leaf, OnDevice)]
    here = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, OnDevice)]
    if not there and wanted != DEVICE.type:
        return func(*args, **kwargs)
    if there and here and func not in ACROSS and not _scalars(func, here) and not _indices(func, args):
        raise RuntimeError(f"{func}: Expected all tensors to be on the same device, but some are on the cpu")
    if any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{func}: a CPU generator draws no tensor on a device")
    _count(func, args, kwargs, here, wanted)
    host_kwargs = {name: _mapped(value, _host) for name, value in kwargs.items()}
    if wanted is not None:
        host_kwargs["device"] = torch.device("cpu")
    out = EMULATED.get(func, func)(*_mapped(args, _host), **host_kwargs)
    if func._schema.is_mutable and len(func._schema.returns) == 1:
        return args[0]
    return out if wanted == "cpu" else _mapped(out, OnDevice)


def _leaves(values: Any) -> Iterator[Any]:
    """Tensors and generators within tuples and lists; PyTorch's own walk takes half of the time."""
    for value in values:
        if isinstance(value, Tensor | torch.Generator):
            yield value
        elif isinstance(value, list | tuple):
            yield from _leaves(value)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    return type(value)([_mapped(one, change) for one in value]) if isinstance(value, list | tuple) else value


def _host(tensor: Tensor) -> Tensor:
    return tensor.host if isinstance(tensor, OnDevice) else tensor


def _scalars(func: Any, here: list[Tensor]) -> bool:
    """Whether the tensors of the CPU are numbers that a kernel takes as arguments."""
    pointwise = torch.Tag.pointwise in func.tags or "fill" in str(func)
    return pointwise and all(leaf.dim() == 0 for leaf in here)


def _indices(func: Any, args: Any) -> bool:
    """Whether the tensors of the CPU are indices, which a device takes, after a copy."""
    if func not in INDEXING or not isinstance(args[0], OnDevice):
        return False
    values = args[2] if len(args) > 2 else None
    return not isinstance(values, Tensor) or isinstance(values, OnDevice) or values.dim() == 0


def _count(func: Any, args: Any, kwargs: dict[str, Any], here: list[Tensor], wanted: str | None) -> None:
    COUNTS.operators += not func.is_view
    uploads = len(here) if func in INDEXING or (func in ACROSS and wanted != "cpu") else 0
    uploads -= func is aten.copy_.default and bool(here) and here[0] is args[0]  # a copy to the host
    COUNTS.copies += uploads
    pageable = uploads and not (kwargs.get("non_blocking") or (func is aten.copy_.default and args[2:] == (True,)))
    COUNTS.waits += bool(pageable) or _reads_back(func, args, kwargs, wanted)


def _reads_back(func: Any, args: Any, kwargs: dict[str, Any], wanted: str | None) -> bool:
    """Whether the host needs the device's numbers before it can go on."""
    if func in INDEXING:
        return any(index is not None and index.dtype == torch.bool for index in args[1])
    to_host = wanted == "cpu" or (func is aten.copy_.default and not isinstance(args[0], OnDevice))
    sized_by_values = torch.Tag.dynamic_output_shape in func.tags and kwargs.get("output_size") is None
    return to_host or sized_by_values or torch.Tag.data_dependent_output in func.tags


def _lstm_cell(
    from_input: Tensor, from_hidden: Tensor, memory: Tensor, input_bias: Tensor, hidden_bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    enter, forget, new, leave = (from_input + from_hidden + input_bias + hidden_bias).chunk(4, 1)
    enter, forget, new, leave = enter.sigmoid(), forget.sigmoid(), new.tanh(), leave.sigmoid()
    memory = forget * memory + enter * new
    return leave * memory.tanh(), memory, torch.cat([enter, forget, new, leave], 1)


def _lstm_cell_backward(
    of_hidden: Tensor | None,
    of_memory: Tensor | None,
    before: Tensor,
    memory: Tensor,
    gates: Tensor,
    has_bias: bool,  # noqa: ARG001 - as PyTorch's
) -> tuple[Tensor, Tensor, Tensor]:
    enter, forget, new, leave = gates.chunk(4, 1)
    of_hidden = torch.zeros_like(memory) if of_hidden is None else of_hidden
    through = (0 if of_memory is None else of_memory) + of_hidden * leave * (1 - memory.tanh() ** 2)
    found = torch.cat(
        [
            through * new * enter * (1 - enter),
            through * before * forget * (1 - forget),
            through * enter * (1 - new**2),
            of_hidden * memory.tanh() * leave * (1 - leave),
        ],
        1,
    )
    return found, through * forget, found.sum(0)


EMULATED: dict[Any, Callable[..., Any]] = {  # what has kernels on devices alone
    aten._thnn_fused_lstm_cell.default: _lstm_cell,
    aten._thnn_fused_lstm_cell_backward_impl.default: _lstm_cell_backward,
}
