"""Every module here but `file_format` is one file format; importing the package registers them all."""

import importlib
import pkgutil

from softprompt.data.formats.file_format import FORMATS, Format, Parsed, format_of

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")

__all__ = ["FORMATS", "Format", "Parsed", "format_of"]
