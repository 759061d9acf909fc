"""Randomness is passed, never ambient: every stream is named by whose it is and what it is for."""

import hashlib

import numpy as np
import torch


def stream_seed(identity: str, purpose: str) -> int:
    """A 63-bit seed fixed by (identity, purpose); two different pairs share no stream."""
    digest = hashlib.sha256(f"{identity}\x00{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_generator(identity: str, purpose: str) -> torch.Generator:
    """A CPU generator for (identity, purpose), so that draws do not depend on the device."""
    return torch.Generator().manual_seed(stream_seed(identity, purpose))


def numpy_generator(identity: str, purpose: str) -> np.random.Generator:
    """A NumPy generator for (identity, purpose)."""
    return np.random.default_rng(stream_seed(identity, purpose))
