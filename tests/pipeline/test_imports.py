"""Importing the package does nothing but define things."""

import json
import subprocess
import sys

from helpers.paths import ROOT

# torch, matplotlib and the like may set variables of their own, so they are imported first.
IMPORT_ALL = """
import importlib, json, os, pkgutil, sys
import datasets, matplotlib.pyplot, mlflow, optuna, peft, ray, transformers
import softprompt
before = dict(os.environ)
names = [found.name for found in pkgutil.walk_packages(softprompt.__path__, "softprompt.")]
for name in names:
    importlib.import_module(name)
after = dict(os.environ)
print(json.dumps([names, sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))]))
"""
IMPORT_LIGHT = """
import sys
import softprompt.benchmark.__main__, softprompt.tracking
print(sorted({"mlflow", "peft", "transformers"} & set(sys.modules)))
"""


def printed(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT / "src", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_module_changes_the_environment_when_it_is_imported() -> None:
    names, changed = json.loads(printed(IMPORT_ALL))
    assert {"softprompt.tracking", "softprompt.benchmark.measure", "softprompt.__main__"} <= set(names)
    assert changed == []


def test_libraries_that_read_the_environment_are_imported_after_it_is_set() -> None:
    assert printed(IMPORT_LIGHT).strip() == "[]"
