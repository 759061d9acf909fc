"""In-context learning with calibrated answers: the same examples, seeds and wording as `in_context`.

Zhao et al. 2021, "Calibrate Before Use: Improving Few-Shot Performance of Language Models",
https://arxiv.org/abs/2102.09690. For an open vocabulary every token is calibrated.

Changed: as `in_context`.
"""

from typing import ClassVar, Literal

from softprompt.methods.base import METHODS
from softprompt.methods.in_context import InContext, InContextSettings


class CalibratedSettings(InContextSettings):
    calibration: Literal[True] = True


@METHODS.register("in_context_calibrated")
class InContextCalibrated(InContext):
    settings_model = CalibratedSettings
    draws_as: ClassVar[str] = "in_context"
    further_code: ClassVar[tuple[str, ...]] = ("methods/in_context.py", *InContext.further_code)
