"""The manual template that scores best on the development split, with nothing trained.

The fair opponent of a learnt prompt: it has seen the same development data. Ties go to the template listed first.
"""

from typing import ClassVar

from softprompt.methods.base import METHODS
from softprompt.methods.manual import Manual


@METHODS.register("manual_best")
class ManualBest(Manual):
    chooses_template_on_dev: ClassVar[bool] = True
    learns_from: ClassVar[tuple[str, ...]] = ("dev",)
