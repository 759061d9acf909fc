"""The sections of params.yaml as frozen models; `params.py` reads them. Inside, nobody sees a dict."""

from softprompt.config.backbones import Architecture, BackboneSettings, Dtype, PretrainingSettings, Size
from softprompt.config.methods import MethodSettings, Recipe, TrainedMethodSettings
from softprompt.config.params import Budget, Device, Execution, Params, Run, Tuning
from softprompt.config.search import Choice, Choices, Range
from softprompt.config.suites import SuiteSettings, TextSettings, Vocabulary, WorldSettings
from softprompt.config.types import Fraction, Frozen, Kind, Positive, Suite

__all__ = [
    "Architecture",
    "BackboneSettings",
    "Budget",
    "Choice",
    "Choices",
    "Device",
    "Dtype",
    "Execution",
    "Fraction",
    "Frozen",
    "Kind",
    "MethodSettings",
    "Params",
    "Positive",
    "PretrainingSettings",
    "Range",
    "Recipe",
    "Run",
    "Size",
    "Suite",
    "SuiteSettings",
    "TextSettings",
    "TrainedMethodSettings",
    "Tuning",
    "Vocabulary",
    "WorldSettings",
]
