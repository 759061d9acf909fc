"""Passes as large as device memory allows: where it runs out, what was begun begins again in smaller ones.

What a member trains on and is told never depends on how its rows are passed, but for the rounding of floats.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

Outcome = TypeVar("Outcome")

logger = logging.getLogger(__name__)


class PassSize:
    """Which share of what could pass at once does: all of it, until device memory runs out, then half, and so on."""

    def __init__(self) -> None:
        self.divisor = 1
        self._largest = 0  # that was allowed since the last halving

    def of(self, whole: int) -> int:
        """How many of so many may pass at once, one at least."""
        allowed = max(1, whole // self.divisor)
        self._largest = max(self._largest, allowed)
        return allowed

    def fitting(self, work: Callable[[], Outcome]) -> Outcome:
        """What `work` returns, which asks `of`; begun again at half the size where device memory runs out. Raises
        torch.OutOfMemoryError where nothing is left to be halved."""
        while True:
            try:
                return work()
            except torch.OutOfMemoryError as error:
                if self._largest <= 1:
                    raise
                logger.warning("passes of half the size from here on: %s", str(error).splitlines()[0])
            # only behind the `except` what failed is let go, and with it all that it had allocated
            self.divisor, self._largest = 2 * self.divisor, 0
