"""A tuned backbone that remembers little: of each layer only its input is kept, and what lies within is computed again
on the way back (gradient checkpointing, Chen et al. 2016, arXiv 1604.06174). The numbers are the same ones.

transformers' own switch works in training mode only, where dropout is PyTorch's; here it is the rows' own (dropout.py),
which has to be drawn again just as it was.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from softprompt.backbones.dropout import RowNoise

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def recomputing(model: "PreTrainedModel", noise: RowNoise | None) -> Iterator[None]:
    """Within it, one pass through the model keeps the inputs of its layers. `noise` is what the pass drops out by."""
    layers = layers_of(model)
    modes = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.gradient_checkpointing = True
            layer._gradient_checkpointing_func = partial(_kept_by_input, noise)
            layer.training = True  # of the layer alone: it asks for it, and nothing in it is told
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.gradient_checkpointing, layer.training = False, mode


def layers_of(model: "PreTrainedModel") -> list[Any]:
    """Those that transformers would checkpoint; none where an architecture does not say (ALBERT's are all one)."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def _kept_by_input(noise: RowNoise | None, forward: "partial[Any]", *inputs: Any) -> Any:
    """What a layer's forward pass answers; `forward` has the layer as its first argument."""
    layer, calls = forward.args[0], 0 if noise is None else noise.calls

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), nullcontext() if noise is None else _as_before(layer, noise, calls)

    compute: Callable[..., Any] = checkpoint
    return compute(forward, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


@contextmanager
def _as_before(layer: nn.Module, noise: RowNoise, calls: int) -> Iterator[None]:
    """The layer drops out as in the pass, in which so many dropouts came before it."""
    layer.train()
    try:
        with RowNoise(noise.streams, noise.ahead, calls):
            yield
    finally:
        layer.eval()
