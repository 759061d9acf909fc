"""Entities in BIO tags."""

from collections.abc import Sequence

Entity = tuple[str, int, int]  # type, first word, last word


def entities_of(tags: Sequence[str]) -> set[Entity]:
    """An entity begins at B-X, or at an I-X that continues none; it ends before O, another B, another type."""
    entities, start = set(), 0
    for place, tag in enumerate(tags):
        kind, before = tag[2:], tags[place - 1] if place else "O"
        if tag.startswith("B-") or before[2:] != kind:
            start = place
        after = tags[place + 1] if place + 1 < len(tags) else "O"
        if kind and after != f"I-{kind}":
            entities.add((kind, start, place))
    return entities
