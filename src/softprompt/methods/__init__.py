"""Every module here but `base` is one method; importing the package registers all. `shared` has what several use."""

import importlib
import pkgutil

from softprompt.methods.base import METHODS, Method, TrainedMethod, build_method

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")

__all__ = ["METHODS", "Method", "TrainedMethod", "build_method"]
