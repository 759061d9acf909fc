"""Which code a trained number depends on, so that a changed method or loop is trained anew and nothing else is."""

from functools import cache
from pathlib import Path

from softprompt.files import sha256_of_file

PACKAGE = Path(__file__).parent.parent
# The train stages of dvc.yaml list the same files.
CORE = (
    "backbones/backbone.py",
    "methods/base.py",
    "tasks/candidates.py",
    "training/answers.py",
    "training/batches.py",
    "training/encoding.py",
    "training/fleet.py",
    "training/loop.py",
    "training/member.py",
    "training/optimizers.py",
    "training/parts.py",
    "training/prompts.py",
    "training/selectors.py",
    "training/tagging.py",
)


@cache
def code_version(method: str) -> str:
    """Digest over the method's file and the training core."""
    return " ".join(sha256_of_file(PACKAGE / name)[:12] for name in (f"methods/{method}.py", *CORE))
