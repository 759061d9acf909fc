"""What libraries draw on their own, such as the first weights of nn.Linear, whichever tests ran before."""

import random
import zlib

import numpy as np
import torch


def seed_libraries(name: str) -> None:
    """Put the global generators where the fixture or test of this name begins, in any order and on any worker."""
    seed = zlib.crc32(name.encode())
    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(seed)
