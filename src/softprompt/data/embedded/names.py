"""Names of the generated world, built of syllables: plausible to read, and several word pieces long.

Subjects share a stock of syllables, as real names do, so that tokenizers learn these as pieces and a name is told from
others only by its whole. Objects are built of other syllables, so no name gives its object away.
"""

from collections.abc import Callable

import numpy as np

# fmt: off
ONSETS = [
    "b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "dr", "fl", "gr", "kl",
    "kr", "pr", "sk", "st", "th", "tr",
]
VOWELS = [
    "a", "e", "i", "o", "u", "ai", "au", "ei",
]
CODAS = [
    "n", "r", "l", "s", "m", "k", "nd", "rt", "st", "x", "ng",
]
# fmt: on
ENDINGS = {
    "first name": ["a", "o", "i", "us"],
    "person": ["", "sen", "ov"],
    "country": ["ia", "land", "stan"],
    "work": ["ade", "eth"],
    "product": ["ex", "tron"],
    "city": ["ton", "burg", "vik", "polis", "ham"],
    "language": ["ish", "ese", "ic", "an"],
    "company": ["corp", "works", "tec", "soft"],
    "continent": ["ica", "asia", "eria"],
    "currency": ["ar", "it", "ol"],
}
STOCK = 150  # syllables that subjects share
LEADING = 3  # letters by which a name could remind of another


class NameMaker:
    """Draws names that are new, and none of which begins like one of the words to avoid."""

    def __init__(self, rng: np.random.Generator, *, avoid: set[str]) -> None:
        self.rng = rng
        self.avoid = {word[:LEADING].lower() for word in avoid}
        self.taken = set(avoid)
        self.stock: list[str] = []
        while len(self.stock) < STOCK:
            syllable = self._syllable()
            if syllable not in self.stock and syllable[:LEADING] not in self.avoid:
                self.stock.append(syllable)

    def short_names(self, kind: str, count: int) -> list[str]:
        """Names of one syllable of their own and an ending."""
        return self._fresh(count, lambda: self._syllable() + self._pick(ENDINGS[kind]))

    def long_names(self, kind: str, count: int) -> list[str]:
        """Names of two syllables of the stock and an ending."""
        return self._fresh(count, lambda: self._pick(self.stock) + self._pick(self.stock) + self._pick(ENDINGS[kind]))

    def _fresh(self, count: int, draw: Callable[[], str]) -> list[str]:
        made: list[str] = []
        while len(made) < count:
            name = draw().capitalize()
            if name not in self.taken and name[:LEADING].lower() not in self.avoid:
                self.taken.add(name)
                made.append(name)
        return made

    def _syllable(self) -> str:
        return "".join(self._pick(group) for group in (ONSETS, VOWELS, CODAS))

    def _pick(self, group: list[str]) -> str:
        return group[int(self.rng.integers(len(group)))]
