"""How large a language model is, and by formulas what that takes in memory and arithmetic, before anything runs.

`softprompt plan` and the runs themselves reckon with the same ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

OWN_BYTES = 4  # a parameter that trains, in float32
STATE_BYTES = 12  # beside it: its gradient and Adam's two moments
CAST_BYTES = 2  # of a float32 weight on a GPU, whose body trains in bfloat16: its copy, of a frozen one made once
# Bytes that a token and hidden unit of one layer leaves for the way back, where attention is fused and never stores its
# matrix: the largest of BERT, GPT-2 and Llama, tuned or frozen, as tensors took them on a CPU (tests/backbones/
# test_memory.py), rounded up; on a GPU it is reckoned from the same in bfloat16.
ACTIVATION_BYTES = {"cuda": 64, "cpu": 96}
ANSWERING_BYTES = 84  # a token and hidden unit of the layer that is at work where nothing is left, in float32
LOGIT_BYTES = 20  # a logit in float32: itself, masked, its log-softmax, and a gradient of each or what ranks it
USUAL_VOCABULARY = 50_000  # where no file says how many
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")  # what config.json calls them
WIDTHS = ("hidden_size", "n_embd", "dim", "d_model")


@dataclass(frozen=True)
class ModelSize:
    """Numbers of a transformer: all parameters, and the layers that read the input with their width."""

    parameters: float
    layers: int
    hidden_size: int
    vocabulary: int = USUAL_VOCABULARY

    @property
    def body(self) -> float:
        """Parameters that a token meets on its way, were none of them shared: 12 L H^2."""
        return 12.0 * self.layers * self.hidden_size**2

    def step_flops(self, rows: int, tokens: int, *, tuned: bool) -> float:
        """Of one member-step: forward 2 a parameter and token, backward 2 for what passes through and 2 for weights
        that train; the vocabulary (what the body leaves of all parameters) is met at one place a row."""
        factor = 6 if tuned else 4
        return factor * rows * (tokens * self.body + max(self.parameters - self.body, 0.0))

    def training_bytes(self, tokens: int, answer: int, device: str) -> float:
        """What one row of a pass leaves for its way back."""
        return tokens * self.layers * self.hidden_size * ACTIVATION_BYTES[device] + self._logit_bytes(answer)

    def answering_bytes(self, tokens: int, answer: int) -> float:
        """What one row takes in a pass without a way back."""
        return tokens * self.hidden_size * ANSWERING_BYTES + self._logit_bytes(answer)

    def _logit_bytes(self, answer: int) -> float:
        return answer * self.vocabulary * LOGIT_BYTES


def frozen_bytes(parameters: float, dtype_bytes: int, device: str) -> float:
    """Of weights that prompts train through."""
    return parameters * (dtype_bytes + (CAST_BYTES if device == "cuda" and dtype_bytes > CAST_BYTES else 0))


def tuned_bytes(parameters: float, dtype_bytes: int, device: str) -> float:
    """Of frozen weights and a copy that trains beside them. Its best state is kept in main memory."""
    return parameters * (dtype_bytes + OWN_BYTES + STATE_BYTES + (CAST_BYTES if device == "cuda" else 0))


def size_of(model: "PreTrainedModel") -> ModelSize | None:
    """Of a loaded model; None where its configuration does not say how many layers it has."""
    return size_in(model.config.to_dict(), model.num_parameters())


def size_in(config: Mapping[str, Any], parameters: int) -> ModelSize | None:
    """By the names that architectures use in their config.json."""
    layers = next((int(config[name]) for name in LAYERS if name in config), None)
    hidden = next((int(config[name]) for name in WIDTHS if name in config), None)
    if layers is None or hidden is None:
        return None
    return ModelSize(parameters, layers, hidden, int(config.get("vocab_size", USUAL_VOCABULARY)))
