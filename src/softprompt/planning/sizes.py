"""How large the backbones of a run are, from params.yaml and local files, without opening one."""

import json
from pathlib import Path

from softprompt.backbones.memory import BYTES, parameters_in
from softprompt.backbones.size import ModelSize, size_in
from softprompt.config import Architecture, BackboneSettings

STORED_BYTES = 4  # a parameter on the hub and in a tuned cell


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
    return ModelSize(layers * per_layer + decoder + embeddings, a.layers, a.hidden_size, a.vocabulary_size)


def local_size(config: Path) -> ModelSize | None:
    """Of a model folder: its config.json and the size of its weights."""
    return size_in(json.loads(config.read_text()), parameters_in(config.parent))


def dtype_bytes(settings: BackboneSettings) -> int:
    """Bytes of one frozen weight."""
    return BYTES[settings.dtype]
