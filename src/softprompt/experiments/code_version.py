"""Which code a trained number depends on, so that a changed method or loop is trained anew and nothing else is."""

import inspect
from functools import cache
from pathlib import Path

from softprompt.files import sha256_of_file
from softprompt.methods.base import METHODS

PACKAGE = Path(__file__).parent.parent
# The train stages of dvc.yaml list these files too, and what methods name as `further_code`.
CORE = (
    "backbones/attention.py",
    "backbones/backbone.py",
    "methods/base.py",
    "seeding.py",
    "tasks/candidates.py",
    "tasks/entities.py",
    "tasks/metrics.py",
    "tasks/task.py",
    "inputs/label_space.py",
    "inputs/batches.py",
    "inputs/encoding.py",
    "training/fleet.py",
    "training/loop.py",
    "training/member.py",
    "training/optimizers.py",
    "prompts/trainable.py",
    "prompts/prefix.py",
    "prompts/pool.py",
    "prompts/soft_prompt.py",
    "prompts/questions.py",
    "experiments/runner.py",
    "prompts/selector.py",
    "inputs/tagging.py",
    "inputs/task_data.py",
)


@cache
def code_version(method: str) -> str:
    """Digest over the file that defines the method, what else it names, and the training core."""
    own = Path(inspect.getfile(METHODS[method]))
    further = (PACKAGE / name for name in (*METHODS[method].further_code, *CORE))
    return " ".join(sha256_of_file(path)[:12] for path in (own, *further))
