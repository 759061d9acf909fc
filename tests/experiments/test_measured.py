"""Seconds and peak memory of a block, on a CPU by the resident set of the process."""

import sys
import time

import pytest
import torch

from softprompt.experiments.measured import measured

CPU, MIB = torch.device("cpu"), 1024**2


def test_a_block_is_timed_and_its_largest_resident_set_measured() -> None:
    with measured(CPU) as before:
        time.sleep(0.02)
    with measured(CPU) as spent:
        held = bytearray(b"x" * (128 * MIB))
        del held
    assert before.seconds >= 0.02
    assert spent.peak_memory_bytes >= before.peak_memory_bytes + 100 * MIB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of a process begins anew on Linux only")
def test_what_an_earlier_block_took_is_not_counted_again() -> None:
    with measured(CPU) as first:
        held = bytearray(b"x" * (128 * MIB))
        del held
    with measured(CPU) as second:
        pass
    assert second.peak_memory_bytes <= first.peak_memory_bytes - 100 * MIB
