"""Seconds and peak memory of a block, on a CPU by the resident set of the process."""

import os
import time

import pytest
import torch

from softprompt.experiments.measured import measured

CPU, MIB = torch.device("cpu"), 1024**2
begins_anew = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the system does not let the peak of a process begin anew"
)


def test_a_block_is_timed_and_has_a_peak() -> None:
    with measured(CPU) as spent:
        time.sleep(0.02)
    assert 0.02 <= spent.seconds < 10
    assert spent.peak_memory_bytes > 50 * MIB  # this process has imported PyTorch


@begins_anew
def test_the_peak_is_that_of_the_block_and_of_no_earlier_one() -> None:
    peaks = []
    for size in (0, 128, 0):
        with measured(CPU) as spent:
            held = bytearray(b"x" * (size * MIB))
            del held
        peaks.append(spent.peak_memory_bytes)
    before, during, after = peaks
    assert during >= max(before, after) + 100 * MIB
