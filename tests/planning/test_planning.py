"""`softprompt plan` against counts by hand, a real run, the library's models and its own measure of arithmetic."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from torch.utils.flop_counter import FlopCounterMode

from helpers.backbones import tiny_backbone
from helpers.paths import ROOT
from helpers.profiles import fixture_content, fixture_params, listed, profile_params
from helpers.task_data import task_data
from softprompt.backbones import memory
from softprompt.backbones.architectures import ARCHITECTURES, build_model
from softprompt.backbones.memory import USABLE_SHARE, tokens_to_train
from softprompt.backbones.size import ModelSize, size_of
from softprompt.config import Architecture, BackboneSettings, Params
from softprompt.config.profiles import profile_text
from softprompt.errors import UserError
from softprompt.experiments.checks import load_checked_params
from softprompt.experiments.fleet_width import fleet_width
from softprompt.experiments.jobs import Job
from softprompt.experiments.store import FleetStore
from softprompt.experiments.train import train_method
from softprompt.methods import TrainedMethod, build_method
from softprompt.paths import Paths
from softprompt.planning.machine import Machine, describe_machine
from softprompt.planning.memory import memory_needs, tokens_of
from softprompt.planning.needs import backbone_needs
from softprompt.planning.page import columns, duration, gib, render_plan
from softprompt.planning.sizes import model_size
from softprompt.planning.work import plan_work

GIB = 1024**3
LAPTOP = Machine("cpu", "x86_64", 16 * GIB, 2, 1e11, "assumed")


def params_of(folder: Path, **changed: Any) -> Params:
    """The embedded profile with sections changed."""
    content = fixture_content()
    for key, value in changed.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_checked_params(path)


def plan(params: Params, folder: Path, machine: Machine = LAPTOP) -> str:
    paths = Paths(folder)
    work = plan_work(params, paths)
    needs = [backbone_needs(name, params, work, machine, paths) for name in params.run.backbones]
    return render_plan(params, work, needs, machine, paths)


def test_counts_are_those_of_a_real_run(prepared: Path, tmp_path: Path) -> None:
    methods = ["majority", "manual", "random_prompt", "fine_tuning", "p_tuning", "multitask_prompt_mpt"]
    params = params_of(
        tmp_path,
        run={"suites": ["lama", "superglue"], "backbones": ["tiny_bert"], **listed(methods)},
        suites={"lama": {"source": "embedded", "tasks": ["P19", "P36"]}, "superglue": {"source": "embedded"}},
        seeds=[0, 1, 2],
        budget="smoke",
        budgets={"smoke": {"trials": 2, "steps": 2, "batch_size": 4, "eval_every": 1, "patience": 9}},
        device={"type": "cpu", "workers": 1, "fleet_members": 4},
    )
    for suite, tasks in (("lama", ["P19", "P36"]), ("superglue", ["rte", "cb", "boolq"])):
        whole = json.loads((prepared / suite / "manifest.json").read_text())
        whole["tasks"] = {name: whole["tasks"][name] for name in tasks}
        shutil.copytree(prepared / suite, tmp_path / "data/prepared" / suite)
        (tmp_path / "data/prepared" / suite / "manifest.json").write_text(json.dumps(whole))
    backbone = tiny_backbone("bert", prepared)
    backbone.model.float()
    work = plan_work(params, Paths(tmp_path))
    assert work.tasks == {"lama": 2, "superglue": 3}
    assert work.assumed == ()
    of_backbone = 1 + 1 + 3 + 1  # itself, all untrained methods, three others, evaluate
    assert work.stages == 1 + 2 + of_backbone + 2
    for stage in work.train:
        method = build_method(stage.method, params.methods[stage.method])
        result = train_method(params, stage.method, method, backbone, Paths(tmp_path))
        members = FleetStore(Paths(tmp_path).journal(stage.method, backbone.name)).members
        assert stage.cells == len(result.cells), stage
        assert stage.trials == len(result.trials), stage
        assert sum(stage.members.values()) == len(members), stage
        assert stage.member_steps == sum(member.curve[-1].step for member in members.values()), stage


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_the_size_of_a_pretrained_backbone_is_about_that_of_the_model(model_type: str, prepared: Path) -> None:
    architecture = Architecture(
        type=model_type, hidden_size=128, heads=4, layers=3, feed_forward_size=512, vocabulary_size=400, positions=64
    )
    tokenizer = tiny_backbone(model_type, prepared).tokenizer
    size = model_size(BackboneSettings.model_validate(pretraining_settings(architecture)))
    assert size is not None
    actual = build_model(architecture, tokenizer, seed=0).num_parameters()
    assert size.parameters == pytest.approx(actual, rel=0.3)


def pretraining_settings(architecture: Architecture) -> dict[str, object]:
    return {"source": "pretrain", "kind": "masked", "architecture": architecture.model_dump(), "pretraining": {}}


def test_the_size_of_a_local_model_is_read_from_its_files(prepared: Path, tmp_path: Path) -> None:
    settings = BackboneSettings(source="local", kind="causal", path=str(tmp_path))
    assert model_size(settings) is None
    backbone = tiny_backbone("gpt2", prepared)
    backbone.model.save_pretrained(tmp_path)
    assert model_size(settings) == ModelSize(backbone.model.num_parameters(), 2, 16, backbone.vocabulary_size)


CONFIGS = {  # what the hub's config.json says where it is not the library's default
    "bert_base": transformers.BertConfig(vocab_size=28996),
    "bert_large": transformers.BertConfig(
        vocab_size=28996, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
    ),
    "roberta_base": transformers.RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1),
    "gpt2": transformers.GPT2Config(),
    "gpt2_medium": transformers.GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "gpt2_xl": transformers.GPT2Config(n_embd=1600, n_layer=48, n_head=25),
    "pythia_12b": transformers.GPTNeoXConfig(
        vocab_size=50688, hidden_size=5120, num_hidden_layers=36, num_attention_heads=40, intermediate_size=20480
    ),
    "albert_xxlarge": transformers.AlbertConfig(),
    "distilbert": transformers.DistilBertConfig(),
    "t5_base": transformers.T5Config(
        d_model=768, num_layers=12, num_heads=12, d_ff=2048, feed_forward_proj="gated-gelu",
        tie_word_embeddings=False, vocab_size=32128,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_the_sizes_in_the_paper_profile_are_those_of_the_models(name: str) -> None:
    settings = profile_params("paper").backbones[name]
    config = CONFIGS[name]
    loader = {
        "masked": transformers.AutoModelForMaskedLM,
        "causal": transformers.AutoModelForCausalLM,
        "seq2seq": transformers.AutoModelForSeq2SeqLM,
    }[settings.kind]
    with torch.device("meta"):
        model = loader.from_config(config)
    # The library ties T5's output to its word embeddings until a checkpoint, as T5 1.1's do, brings one of its own.
    untied = config.vocab_size * config.hidden_size if settings.kind == "seq2seq" else 0
    assert settings.size is not None
    assert settings.size.million_parameters == pytest.approx((model.num_parameters() + untied) / 1e6, rel=0.015)
    assert (settings.size.layers, settings.size.hidden_size) == (config.num_hidden_layers, config.hidden_size)


def test_a_steps_arithmetic_is_about_what_torch_counts() -> None:
    config = transformers.GPT2Config(n_layer=3, n_embd=256, n_head=4, vocab_size=1000, n_positions=64)
    model = transformers.GPT2LMHeadModel(config)
    model.requires_grad_(False)
    size = ModelSize(model.num_parameters(), 3, 256)
    rows, tokens = 4, 24
    with FlopCounterMode(display=False) as counted:
        embeddings = torch.ones(rows, tokens, 256, requires_grad=True)
        hidden = model.transformer(inputs_embeds=embeddings).last_hidden_state[:, -1]
        model.lm_head(hidden).sum().backward()
    assert size.step_flops(rows, tokens, tuned=False) == pytest.approx(counted.get_total_flops(), rel=0.15)


def test_missing_data_and_weights_are_named(tmp_path: Path) -> None:
    backbones = {
        "tiny_bert": {"source": "local", "kind": "masked", "path": str(tmp_path / "nowhere")},
        "tiny_gpt2": {
            "source": "hub", "kind": "causal", "repo": "nobody/nothing", "revision": "0" * 40,
            "size": {"million_parameters": 1.0, "layers": 1, "hidden_size": 8},
        },
    }  # fmt: skip
    suites = {"superglue": {"source": "local", "path": str(tmp_path / "raw")}, "fewglue": {"source": "official"}}
    page = plan(params_of(tmp_path, backbones=backbones, suites=suites), tmp_path)
    warned = [line for line in page.splitlines() if line.startswith("! ")]
    assert warned == [
        f"! superglue: no folder {tmp_path / 'raw' / 'superglue'}",
        "! fewglue: to be fetched from its official source",
        f"! tiny_bert: no model in {tmp_path / 'nowhere'}",
        "! tiny_gpt2: to be fetched: nobody/nothing at 000000000000",
    ]


def test_what_does_not_fit_is_named_and_not_counted(tmp_path: Path) -> None:
    params = profile_params("paper")
    small = Machine("cuda", "small", 20 * GIB, 1, 1e13, "assumed")  # its weights alone are 22
    page = plan(params, tmp_path, small)
    lines = [line for line in page.splitlines() if line.startswith("! pythia_12b: ")]
    assert any("to tune it needs about" in line and "counted as n/a" in line for line in lines)
    assert any("a fleet needs about" in line for line in lines)
    assert not [line for line in page.splitlines() if line.startswith("! distilbert") and "needs about" in line]
    huge = Machine("cuda", "huge", 10_000 * GIB, 1, 1e13, "assumed")
    assert "needs about" not in plan(params, tmp_path, huge).replace("! disk: the run needs about", "")


def test_the_plan_tells_what_the_run_decides(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of a fleet and the passes of its step on a GPU of any size, from the same functions."""
    params = params_of(tmp_path, run={"suites": ["lama"], "backbones": ["tiny_bert"], **listed(["p_tuning"])})
    backbone = tiny_backbone("bert", prepared)
    backbone.model.float()
    size, batch = size_of(backbone.model), params.chosen_budget.batch_size
    assert size is not None
    tokens = tokens_of("lama", params)
    weights, row = size.parameters * 6, size.training_bytes(tokens, 1, "cuda")  # float32, and bfloat16 for the body
    data = {"lama/P19": task_data(prepared, backbone, "lama", "P19")}
    job = Job("key", "identity", "lama/P19", 0, {"learning_rate": 1e-2, "prompt_length": 3}, tokens, "label words")
    method, work = build_method("p_tuning", params.methods["p_tuning"]), plan_work(params, Paths(tmp_path))
    assert isinstance(method, TrainedMethod)
    widths, passes = [], []
    for rows in (1, batch // 2, batch, 4 * batch, 10_000):
        room = rows * row + 1
        machine = Machine("cuda", "any", weights + room / USABLE_SHARE, 1, 1e13, "assumed")
        planned = memory_needs("tiny_bert", size, params, work, machine)
        monkeypatch.setattr(memory, "room_on", lambda _, room=room: room)
        monkeypatch.setattr(ModelSize, "training_bytes", on_a_gpu)
        width = fleet_width(method, backbone, data, params.chosen_budget, params.device.fleet_members)(job)
        most = tokens_to_train(backbone.model, tokens, 1, 0.0)
        monkeypatch.undo()
        assert most is not None
        assert (planned.members, planned.passes) == (width, -(-width * batch * tokens // most))
        assert planned.frozen_bytes <= machine.memory_bytes
        widths, passes = [*widths, width], [*passes, planned.passes]
    assert widths == [1, 1, 1, 4, params.device.fleet_members]
    assert passes == [batch, 2, 1, 1, 1]


def on_a_gpu(size: ModelSize, tokens: int, answer: int, device: str, reckoned: Any = ModelSize.training_bytes) -> float:  # noqa: ARG001
    """What the run would reckon with there, on the CPU that is here."""
    return float(reckoned(size, tokens, answer, "cuda"))


def test_a_backbone_meets_the_suites_that_are_named_for_it(tmp_path: Path) -> None:
    whole = plan_work(params_of(tmp_path / "a"), Paths(tmp_path))
    content = fixture_content()["backbones"]
    content["tiny_bert"]["suites"] = ["fewglue"]
    part = plan_work(params_of(tmp_path / "b", backbones=content), Paths(tmp_path))
    cells = {(stage.backbone, stage.method): stage.cells for stage in part.train}
    assert cells["tiny_bert", "p_tuning"] == 5  # one task, five seeds
    assert [stage.cells for stage in part.train if stage.backbone == "tiny_gpt2"] == [
        stage.cells for stage in whole.train if stage.backbone == "tiny_gpt2"
    ]


def test_cells_outside_of_the_named_suites_say_so(prepared: Path, tmp_path: Path) -> None:
    content = fixture_content()["backbones"]
    content["tiny_bert"]["suites"] = ["lama"]
    run = {"suites": ["lama", "superglue"], "backbones": ["tiny_bert"], **listed(["majority"])}
    params = params_of(tmp_path, backbones=content, run=run)
    for suite in ("lama", "superglue"):
        shutil.copytree(prepared / suite, tmp_path / "data/prepared" / suite)
    method = build_method("majority", {})
    result = train_method(params, "majority", method, tiny_backbone("bert", prepared), Paths(tmp_path))
    reasons = {cell.suite: (cell.status, cell.reason) for cell in result.cells}
    assert reasons["lama"] == ("done", "")
    assert reasons["superglue"] == ("not_applicable", "params.yaml runs tiny_bert on lama only")


def test_tuning_without_room_is_not_applicable(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"suites": ["lama"], "backbones": ["tiny_bert"], **listed(["fine_tuning"])}
    params = params_of(tmp_path, run=run)
    shutil.copytree(prepared / "lama", tmp_path / "data/prepared/lama")
    monkeypatch.setattr("softprompt.backbones.memory.main_memory_bytes", lambda: 1000)
    method = build_method("fine_tuning", params.methods["fine_tuning"])
    result = train_method(params, "fine_tuning", method, tiny_backbone("bert", prepared), Paths(tmp_path))
    assert {cell.status for cell in result.cells} == {"not_applicable"}
    assert "tuning its 0 million weights needs 0 GiB, the cpu device has 0 GiB" in result.cells[0].reason


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"suites": ["glue"]}, "backbones.tiny_bert.suites names 'glue', which has no section; known: fewglue"),
        ({"suites": []}, "backbones.tiny_bert.suites is .*at least 1 item"),
        ({"source": "hub", "repo": "bert"}, "source: hub needs `repo`, such as google-bert/bert-base-cased"),
        ({"dtype": "float16"}, "dtype is 'float16': .*'float32' or 'bfloat16'"),
    ],
)
def test_a_wrong_backbone_is_refused(tmp_path: Path, changed: dict[str, Any], expected: str) -> None:
    content = fixture_content()["backbones"]
    content["tiny_bert"] |= changed
    with pytest.raises(UserError, match=expected):
        params_of(tmp_path, backbones=content)


def test_the_speed_is_read_from_the_bench(tmp_path: Path) -> None:
    device = fixture_params().device.model_copy(update={"type": "cpu"})
    assumed = describe_machine(device, tmp_path / "bench.json")
    assert "assumed" in assumed.basis
    content = json.loads((ROOT / "reports" / "bench.json").read_text()) | {"device": assumed.name}
    (tmp_path / "bench.json").write_text(json.dumps(content))
    (one,) = [one for one in content["training"] if one["threads"] == 1 and one["members"] == 16]
    measured = describe_machine(device, tmp_path / "bench.json")
    assert "from reports/bench.json" in measured.basis
    assert measured.flops == pytest.approx(device.workers * one["flops_per_second"])
    (tmp_path / "bench.json").write_text(json.dumps(content | {"kind": "cuda"}))
    assert describe_machine(device, tmp_path / "bench.json") == assumed


@pytest.mark.parametrize("profile", ["embedded", "mini", "paper"])
def test_the_command_is_quick_and_does_nothing(profile: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(profile_text(profile, ROOT / "profiles"))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HOME": str(tmp_path / "hub")}
    before = os.times().children_user
    done = subprocess.run(
        [sys.executable, "-m", "softprompt", "plan"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert os.times().children_user - before < 10
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["profile", profile]
    stages = int(lines[1].split()[1])
    assert stages <= 140  # DVC's own work grows with the square of their number: a minute here
    assert done.stderr == ""


def test_a_wrong_params_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("profile: x\npurpose: y\n")
    done = subprocess.run(
        [sys.executable, "-m", "softprompt", "plan"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: key run is missing")


def test_numbers_and_columns_are_readable() -> None:
    assert [duration(seconds) for seconds in (0, 90, 7200, 172800)] == ["0.0 s", "1.5 min", "2.0 h", "2.0 days"]
    assert [gib(size) for size in (0, 5 * 2**20, GIB, 2000 * GIB)] == ["0.0 GiB", "5.0 MiB", "1.0 GiB", "2,000 GiB"]
    assert columns(["a", "n"], [["bb", "1"], ["c", "22"]], right=(1,)) == ["a    n", "bb   1", "c   22"]
