"""How large a backbone is, without opening it, and what that costs in memory, disk and arithmetic."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.backbones.memory import BYTES, TUNING_BYTES, parameters_in
from softprompt.config import Architecture, BackboneSettings

# Bytes a token and hidden unit of one layer leaves for the backward pass: Korthikanti et al. 2022 (arXiv 2205.05198),
# section 4.1, in 16 bit and without the attention matrix, which fused attention never stores; twice that in float32.
ACTIVATION_BYTES = {"cuda": 34, "cpu": 68}
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")  # what config.json calls them
WIDTHS = ("hidden_size", "n_embd", "dim", "d_model")
STORED_BYTES = 4  # a parameter on the hub and in a tuned cell


@dataclass(frozen=True)
class ModelSize:
    """Numbers of a transformer: all parameters, and the layers that read the input with their width."""

    parameters: float
    layers: int
    hidden_size: int

    @property
    def body(self) -> float:
        """Parameters that a token meets on its way, were none of them shared: 12 L H^2."""
        return 12.0 * self.layers * self.hidden_size**2

    def step_flops(self, rows: int, tokens: int, *, tuned: bool) -> float:
        """Of one member-step: forward 2 a parameter and token, backward 2 for what passes through and 2 for weights
        that train; the vocabulary (what the body leaves of all parameters) is met at one place a row."""
        factor = 6 if tuned else 4
        return factor * rows * (tokens * self.body + max(self.parameters - self.body, 0.0))

    def frozen_bytes(self, dtype_bytes: int, rows: int, tokens: int, device: str) -> float:
        """Weights and the activations of one batch."""
        activations = rows * tokens * self.layers * self.hidden_size * ACTIVATION_BYTES[device]
        return self.parameters * dtype_bytes + activations

    def tuned_bytes(self, dtype_bytes: int, rows: int, tokens: int, device: str) -> float:
        """The frozen backbone, the copy that trains, and the activations of one member's batch."""
        return self.frozen_bytes(dtype_bytes, rows, tokens, device) + self.parameters * TUNING_BYTES


def model_size(settings: BackboneSettings) -> ModelSize | None:
    """From `size`, `architecture` or a local folder's files; None where that folder is not there."""
    if settings.size is not None:
        return ModelSize(settings.size.million_parameters * 1e6, settings.size.layers, settings.size.hidden_size)
    if settings.architecture is not None:
        return architecture_size(settings.architecture)
    config = Path(settings.path) / "config.json"
    return local_size(config) if config.is_file() else None


def architecture_size(a: Architecture) -> ModelSize:
    """Of a model that is pretrained here, biases and normalisation left aside."""
    layers = 1 if a.type == "albert" else a.layers
    per_layer = 4 * a.hidden_size**2 + 2 * a.hidden_size * a.feed_forward_size
    embeddings = (a.vocabulary_size + a.positions) * a.hidden_size
    decoder = layers * (per_layer + 4 * a.hidden_size**2) if a.type == "t5" else 0
    return ModelSize(layers * per_layer + decoder + embeddings, a.layers, a.hidden_size)


def local_size(config: Path) -> ModelSize | None:
    """Of a model folder: its config.json and the size of its weights."""
    content: dict[str, Any] = json.loads(config.read_text())
    layers = next((int(content[name]) for name in LAYERS if name in content), None)
    hidden = next((int(content[name]) for name in WIDTHS if name in content), None)
    return None if layers is None or hidden is None else ModelSize(parameters_in(config.parent), layers, hidden)


def dtype_bytes(settings: BackboneSettings) -> int:
    """Bytes of one frozen weight."""
    return BYTES[settings.dtype]
