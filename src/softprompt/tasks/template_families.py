"""Where manual templates come from, by their ids."""

import re


def family_of(template: str) -> str:
    """The id without its number: `pararel-3` is of the family `pararel`, `lama` of `lama`."""
    return re.sub(r"-\d+$", "", template)
