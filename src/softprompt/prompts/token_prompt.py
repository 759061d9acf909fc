"""A prompt of words: tokens that are searched or shown, never trained. Axes: P tokens, D word-embedding size,
V vocabulary."""

from collections.abc import Mapping, Sequence
from typing import Self

from jaxtyping import Float, Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.prompts.part import PARTS, FleetPart, Part
from softprompt.prompts.side_by_side import side_by_side
from softprompt.prompts.soft_prompt import FleetPrompts, numbered


@PARTS.register("tokens")
class TokenPrompt(Part):
    """Tokens and their word embeddings, which stand in the prompt's slots. `texts` is how many solved examples they
    are, which is not saved."""

    tokens: Int[Tensor, "P"]
    vectors: Float[Tensor, "P D"]

    def __init__(self, tokens: Int[Tensor, "P"], vectors: Float[Tensor, "P D"], *, texts: int = 0) -> None:
        super().__init__()
        self.texts = texts
        self.register_buffer("tokens", tokens)
        self.register_buffer("vectors", vectors)

    @classmethod
    def of(cls, tokens: Int[Tensor, "P"], backbone: Backbone, *, texts: int = 0) -> Self:
        """The prompt that says these tokens."""
        return cls(tokens, backbone.word_embeddings()[tokens], texts=texts)

    @property
    def positions(self) -> int:
        return len(self.tokens)

    def put(self, place: int, token: Int[Tensor, "1"], embeddings: Float[Tensor, "V D"]) -> None:
        """Another token in one place, which stays on the device that it is on."""
        self.tokens[place : place + 1] = token
        self.vectors[place : place + 1] = embeddings[token].to(self.vectors.dtype)

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:  # noqa: ARG003
        return cls(saved["tokens"], saved["vectors"])

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        return FleetPrompts(side_by_side([part.vectors for part in parts if part is not None]))

    def word_like_vectors(self) -> dict[str, Float[Tensor, "D"]]:
        return numbered(self.vectors)
