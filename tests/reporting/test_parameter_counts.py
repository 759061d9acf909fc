"""Closed forms of parameter counts against the modules that have them, and the report's page of parameters."""

import re
from pathlib import Path

import peft
import pytest
import torch
from peft.tuners.multitask_prompt_tuning.model import MultitaskPromptEmbedding
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from helpers import synthetic_results as synthetic
from helpers.profiles import fixture_params
from helpers.synthetic_results import World
from softprompt.backbones.backbone import Backbone
from softprompt.methods import TrainedMethod, build_method
from softprompt.methods.base import fresh_trainable
from softprompt.paths import Paths
from softprompt.prompts.soft_prompt import EncoderName, SoftPrompt
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.rendering.parameter_counts import (
    keyed_pool,
    linear_head,
    lstm_encoder,
    mlp_encoder,
    multitask_prompt,
    peft_mlp_encoder,
    prefix,
    prefix_mlp,
    prompt_vectors,
    source_counts,
    wide_lstm_encoder,
)
from softprompt.tasks.load import load_task


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("length", "size"), [(9, 768), (20, 768), (3, 64)])
def test_our_encoders_have_what_the_closed_forms_say(length: int, size: int) -> None:
    forms = {"lstm": lstm_encoder, "mlp": mlp_encoder, "identity": prompt_vectors}
    for name, form in forms.items():
        encoder: EncoderName = name  # type: ignore[assignment]
        with torch.device("meta"):
            module = SoftPrompt(torch.empty(length, size), encoder)
            assert module().numel() == prompt_vectors(length, size)
        assert parameters(module) == form(length, size)


def test_the_wide_encoder_is_that_of_the_few_shot_code() -> None:
    """PT-Fewshot/pet/wrapper.py: its embedding, LSTM and MLP."""
    length, size = 3, 16
    module = nn.ModuleList(
        [
            nn.Embedding(length, size),
            nn.LSTM(size, size, 2, bidirectional=True),
            nn.Linear(2 * size, size),
            nn.Linear(size, size),
        ]
    )
    assert parameters(module) == wide_lstm_encoder(length, size)


def test_the_count_of_the_few_shot_code_is_what_the_method_trains_there(bert: Backbone, prepared: Path) -> None:
    method = build_method("p_tuning_tuned", fixture_params().methods["p_tuning_tuned"])
    assert isinstance(method, TrainedMethod)
    count = next(count for count in source_counts() if count.source == "P-tuning, PT-Fewshot code")
    prompt = fresh_trainable(method, load_task("superglue", "rte", prepared), bert, 1, "member").part(SoftPrompt)
    assert parameters(prompt) == wide_lstm_encoder(1, bert.embedding_size)
    assert count.trained == wide_lstm_encoder(1, 128) == 708_992
    assert (prompt().numel(), count.kept) == (bert.embedding_size, 128)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (peft.PromptEncoderConfig(encoder_hidden_size=8), peft_mlp_encoder(5, 32, 8)),
        (peft.PrefixTuningConfig(), prefix(5, 3, 32)),
        (peft.PrefixTuningConfig(prefix_projection=True, encoder_hidden_size=8), prefix_mlp(5, 3, 32, 8)),
        (peft.PromptTuningConfig(), prompt_vectors(5, 32)),
    ],
    ids=["mlp", "prefix", "prefix through an MLP", "prompt"],
)
def test_peft_trains_as_many(config: peft.PromptLearningConfig, expected: int) -> None:
    config.task_type, config.num_virtual_tokens = peft.TaskType.CAUSAL_LM, 5
    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=3, n_head=2, vocab_size=40, n_positions=16))
    assert peft.get_peft_model(model, config).get_nb_trainable_parameters()[0] == expected


def test_peft_multitask_prompts_are_a_shared_prompt_and_two_thin_matrices_a_task() -> None:
    config = peft.MultitaskPromptTuningConfig(
        task_type=peft.TaskType.CAUSAL_LM, num_virtual_tokens=5, num_tasks=4, num_ranks=2, token_dim=32
    )
    config.num_transformer_submodules = 1
    module = MultitaskPromptEmbedding(config, nn.Embedding(40, 32))
    assert parameters(module) == multitask_prompt(5, 32, 4, 2)


def test_pools_and_heads() -> None:
    prompts, keys = torch.empty(4, 3, 16), torch.empty(4, 16)
    assert keyed_pool(4, 3, 16) == prompts.numel() + keys.numel()
    assert linear_head(16, 3) == parameters(nn.Linear(16, 3))


def test_what_sources_publish_is_what_their_convention_gives() -> None:
    counts = source_counts()
    published = [count.published for count in counts if count.published is not None]
    assert sorted(published) == sorted(
        [15_360, 8_278_272, 6_912, 708_992, 300_288, 76_800, 46_080, 92_160, 370_178, 184_320, 983_040, 161_280]
    )
    for count in counts:
        assert count.published in (None, count.by_convention), count
        assert count.kept <= count.trained


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root: Path = tmp_path_factory.mktemp("report")
    world = World(failed=tuple((task, "tiny_bert", "p_tuning", 100) for task in ("cb", "rte")))
    synthetic.make(root, world)
    aggregate(Paths(root), synthetic.context_of(world))
    assert "[parameters](parameters.md)" in (root / "reports" / "README.md").read_text()
    return (root / "reports" / "parameters.md").read_text()


def test_the_page_has_every_method_on_every_backbone(page: str) -> None:
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \| (\w+) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert {(backbone, method) for backbone, method, *_ in rows} == {
        (backbone, method) for backbone in World().backbones for method in World().methods
    }
    assert ("tiny_bert", "p_tuning", "frozen", "5,000", "384") in rows
    assert ("tiny_gpt2", "fine_tuning", "tuned", "5,000", "384") in rows
    assert ("tiny_gpt2", "manual", "frozen", "0", "0") in rows


def test_the_page_says_which_convention_a_count_follows(page: str) -> None:
    assert (
        "| worked example | prefix tuning, 10 vectors | DistilBERT (H 768, L 6) | P x L x H, keys and values as one "
        "| 46,080 | 5,129,216 | 92,160 |" in page
    )
    assert "| 8,278,272 | 8,278,272 | 6,912 |" in page
    assert "one task's prompt is kept | 82,008 | 82,008 | 76,800 |" in page
