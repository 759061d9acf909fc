"""Parts of the forward pass of transformers' models: the vocabulary head by itself, and a faster activation.

No architecture has code here. A head is run by the model's own `forward`, in which the body answers with hidden states
that are already there: whatever the head does (transformations, logit scaling, soft caps, biases) is the model's own.

Axes: M hidden states, H hidden size, V vocabulary.
"""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

if TYPE_CHECKING:  # importing models takes seconds, which stages without one need not wait for
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class GivenStates:
    """What a model's head takes from its body: the hidden states, by name or as the first item, and nothing else."""

    last_hidden_state: Float[Tensor, "1 M H"]

    def __getitem__(self, index: int) -> Float[Tensor, "1 M H"]:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        """Caches, attentions and the like, which a head passes on: there are none."""


def vocabulary_logits(model: "PreTrainedModel", hidden: Float[Tensor, "... H"]) -> Float[Tensor, "... V"]:
    """The logits that the model's head gives hidden states, with gradients, in the dtype of these states.

    The model itself is left as it is: the head runs in a shallow copy, which shares all weights of that dtype. Those of
    a bfloat16 model are widened for the pass: bfloat16 logits tie where float32 ones tell answers apart.
    Raises ValueError where the model has no body apart from its head.
    """
    states = hidden.reshape(1, -1, hidden.shape[-1])  # causal heads want three axes
    if model.config.is_encoder_decoder:
        inputs = {"encoder_outputs": (states,), "decoder_inputs_embeds": states}
    else:
        inputs = {"inputs_embeds": states}
    head = _answering(model, states)
    weights = _widened(head, states.dtype)
    logits = torch.func.functional_call(head, weights, kwargs=inputs, tie_weights=False).logits  # (1, M, V)
    return logits.reshape(*hidden.shape[:-1], -1)


def in_body(model: "PreTrainedModel", weight: str) -> bool:
    """Whether a weight, by name, is of the body and not of the head. T5 and its kin have a body without a name."""
    without_name = ("encoder.", "decoder.", "shared.")
    return weight.startswith(without_name if model.base_model is model else f"{model.base_model_prefix}.")


def with_fused_activation(config: "PreTrainedConfig") -> "PreTrainedConfig":
    """GPT-2's and T5 1.1's `gelu_new` spells out its tanh in eight operations; PyTorch has the same function as one."""
    for name in ("activation_function", "hidden_act", "dense_act_fn"):
        if getattr(config, name, None) == "gelu_new":
            setattr(config, name, "gelu_pytorch_tanh")
    return config


def _widened(model: "PreTrainedModel", dtype: torch.dtype) -> dict[str, Tensor]:
    """The weights outside the body that have another dtype, in this one."""
    named = model.named_parameters(remove_duplicate=False)  # the head's share of tied weights has its own name
    return {name: weight.to(dtype) for name, weight in named if weight.dtype != dtype and not in_body(model, name)}


def _answering(model: "PreTrainedModel", states: Tensor) -> "PreTrainedModel":
    """A shallow copy of the model whose body, or the decoder in it or in the model itself, answers with `states`."""
    body = model.base_model
    if body is not model:
        place = model.base_model_prefix
        return _with_module(model, place, _given(_with_decoder_given(body, states), states))
    if "decoder" not in model._modules:
        raise ValueError("its body and its head are one module")
    return _with_decoder_given(model, states)


def _with_decoder_given(module: nn.Module, states: Tensor) -> nn.Module:
    decoder = module._modules.get("decoder")
    return module if decoder is None else _with_module(module, "decoder", _given(decoder, states))


def _with_module(module: nn.Module, name: str, replacement: nn.Module) -> nn.Module:
    """A shallow copy with one of its modules replaced."""
    copied = copy.copy(module)
    copied._modules = module._modules | {name: replacement}
    return copied


def _given(module: nn.Module, states: Tensor) -> nn.Module:
    """A shallow copy that answers with `states`, whatever it is given; its weights stay within the head's reach."""
    copied = copy.copy(module)
    copied.forward = lambda *_, **__: GivenStates(states)
    return copied
