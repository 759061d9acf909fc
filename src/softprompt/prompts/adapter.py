"""A part in the form of a PEFT adapter (https://github.com/huggingface/peft, peft_model.py).

Axes: P virtual tokens, `_` numbers in one of them.
"""

import re
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from softprompt.inputs.encoding import block_lengths
from softprompt.tasks.task import Template


@dataclass(frozen=True)
class Adapter:
    """What PEFT needs to know: its type, settings that go with it, and the saved tensor `prompt_embeddings`.

    `what` says in words what the virtual tokens are, `how` how the text is tokenised that follows them.
    """

    peft_type: str
    settings: dict[str, Any]
    tensor: Float[Tensor, "P _"]
    what: str
    how: str


def around_prompt(template: Template, prompt_length: int) -> tuple[str, str]:
    """The template up to its last block that has any of the prompt's vectors, and the text that follows."""
    pieces = template.text.split("{prompt}")
    filled = sum(length > 0 for length in block_lengths(prompt_length, len(pieces) - 1))
    return "{prompt}".join(pieces[:filled]), re.sub(" +", " ", "".join(pieces[filled:]))
