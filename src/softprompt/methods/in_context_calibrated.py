"""In-context learning with calibrated answers: examples in the same order and wording as `in_context`.

Zhao et al. 2021, "Calibrate Before Use: Improving Few-Shot Performance of Language Models",
https://arxiv.org/abs/2102.09690: each answer's probability is divided by the one it has where the input is N/A, [MASK]
or empty after the same examples. For an open vocabulary every token is calibrated.

Changed: as `in_context`.
"""

from typing import ClassVar

from softprompt.methods.base import METHODS
from softprompt.methods.shared.solved_examples import SolvedExamples


@METHODS.register("in_context_calibrated")
class InContextCalibrated(SolvedExamples):
    calibrated: ClassVar[bool] = True
    draws_as: ClassVar[str] = "in_context"
