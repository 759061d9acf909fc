"""Name -> thing, for everything that params.yaml names."""

from collections.abc import Callable, Iterator
from typing import TypeVar

Thing = TypeVar("Thing")


class Registry(dict[str, type[Thing]]):
    """A dictionary filled by a decorator, which gives each thing its `name`.

    Duplicate and unknown names are refused with the names that exist.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def register(self, name: str) -> Callable[[type[Thing]], type[Thing]]:
        if name in self:
            raise ValueError(f"{self.kind} {name!r} is registered twice: {self[name]!r} has the name already")

        def add(thing: type[Thing]) -> type[Thing]:
            self[name] = thing
            setattr(thing, "name", name)  # noqa: B010 - a type in general has no such attribute
            return thing

        return add

    def __missing__(self, name: str) -> type[Thing]:
        raise KeyError(f"unknown {self.kind} {name!r}; known: {', '.join(sorted(self))}")

    def names(self) -> Iterator[str]:
        return iter(sorted(self))
