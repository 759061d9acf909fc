"""Nothing phones home, nothing waits for a network, nothing chatters. Called first thing by every stage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging import CRITICAL

SETTINGS = {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
_set_here: set[str] = set()  # what the user had left open


def keep_quiet() -> None:
    """Set what the user has not set; call before transformers, datasets or mlflow are imported."""
    for name, value in SETTINGS.items():
        if name not in os.environ:
            os.environ[name] = value
            _set_here.add(name)


@contextmanager
def network_allowed() -> Iterator[None]:
    """Let the Hugging Face client out where a stage is there to download, unless the user has said HF_HUB_OFFLINE."""
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    logging.set_verbosity(CRITICAL)  # its retries; what comes of them is told by us
    before = constants.HF_HUB_OFFLINE
    if "HF_HUB_OFFLINE" in _set_here:
        constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
