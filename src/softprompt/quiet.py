"""Nothing phones home, nothing waits for a network, nothing chatters. Called first thing by every stage."""

import os

SETTINGS = {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


def keep_quiet(*, offline: bool = True) -> None:
    """Set what the user has not set; call before transformers, datasets or mlflow are imported."""
    for name, value in SETTINGS.items():
        if offline or name != "HF_HUB_OFFLINE":
            os.environ.setdefault(name, value)
