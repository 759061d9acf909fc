"""Exported prompts, read back by PEFT itself: the same logits, or a refusal that says why."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import DynamicCache

from helpers.backbones import tiny_backbone
from helpers.finished_cells import all_methods, finished_cell, paths_with
from softprompt.backbones.backbone import Backbone
from softprompt.config import BackboneSettings
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import ScoredSplit
from softprompt.prompts.adapter import around_prompt
from softprompt.prompts.head import Head
from softprompt.prompts.part import Part
from softprompt.prompts.pool import PromptPool
from softprompt.prompts.prefix import Prefix
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable
from softprompt.prompts.tuned_weights import TunedWeights
from softprompt.usage.cells import TrainedCell
from softprompt.usage.export import export_adapter
from softprompt.usage.predict import unanswered

SETTINGS = BackboneSettings(source="hub", repo="nobody/model", revision="abc", kind="causal", size={  # type: ignore[arg-type]
    "million_parameters": 1, "layers": 2, "hidden_size": 16,
})  # fmt: skip
LENGTH = 3


def cell_with_prompt(backbone: Backbone, task: str, prepared: Path, folder: Path) -> TrainedCell:
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randn(LENGTH, backbone.embedding_size, dtype=torch.double, generator=generator)
    parts = Trainable(SoftPrompt(vectors, "identity"))
    paths = paths_with(prepared, folder)
    target = backbone.kind == "seq2seq" and not task.startswith("lama")
    template = "prompt+plain-target" if target else "prompt+plain"
    return finished_cell("prompt_tuning", backbone, task, template, parts, paths, all_methods())


def our_logits(chosen: TrainedCell, inputs: pd.DataFrame) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (R, V) where answers are read, and the rows they were read from: ids, lengths, where."""
    answers = chosen.trained.label_space_of(chosen.task)
    scored = ScoredSplit(chosen.task, answers, unanswered(answers, inputs), "new")
    fleet, pool, parts = chosen.trained.fleet_of([chosen.trained.first_request(scored, chosen.cell)])
    batch = pool.batch(torch.zeros(len(inputs), dtype=torch.long), torch.arange(len(inputs)))
    return fleet.read(batch, parts).logits, batch.ids, batch.attention_mask.sum(dim=1), batch.read_at[:, 0]


def peft_logits(backbone: Backbone, out: Path, ids: Tensor, mask: Tensor, read_at: Tensor) -> Tensor:
    """PEFT's (R, V) for texts without what the adapter puts in front of them."""
    model = PeftModel.from_pretrained(copy.deepcopy(backbone.model), str(out)).double().eval()
    if backbone.kind == "seq2seq":
        start = [backbone.model.config.decoder_start_token_id, backbone.tokenizer.convert_tokens_to_ids("<extra_id_0>")]
        decoder = torch.tensor([start[:1] if "`{mask}`" not in (out / "README.md").read_text() else start])
        decoder = decoder.expand(len(ids), -1)
        return model(input_ids=ids, attention_mask=mask, decoder_input_ids=decoder).logits[:, -1]
    return model(input_ids=ids, attention_mask=mask).logits[torch.arange(len(ids)), read_at]


@pytest.mark.parametrize("task", ["lama/P19", "superglue/rte"])
@torch.no_grad()
def test_peft_gives_the_same_logits(task: str, backbone: Backbone, prepared: Path, tmp_path: Path) -> None:
    chosen = cell_with_prompt(backbone, task, prepared, tmp_path)
    texts = ["Ann met Bob.", "Bob", "Ann met Bob at noon and again."]
    inputs = pd.DataFrame({"row": [1, 2, 3], **dict.fromkeys(chosen.task.fields, texts)})
    ours, ids, lengths, read_at = our_logits(chosen, inputs)
    export_adapter(chosen, SETTINGS, tmp_path / "out")
    virtual = len(load_file(tmp_path / "out" / "adapter_model.safetensors")["prompt_embeddings"])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    theirs = peft_logits(backbone, tmp_path / "out", ids[:, virtual:], mask[:, virtual:], read_at)
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
    without = copy.deepcopy(backbone.model)(
        input_ids=ids[:, virtual:], attention_mask=mask[:, virtual:],
        **({"decoder_input_ids": ids[:, :2]} if backbone.kind == "seq2seq" else {}),
    ).logits[:, -1]  # fmt: skip
    assert not torch.allclose(theirs, without, atol=1e-3)


def test_the_readme_says_how_to_feed_the_adapter(
    gpt2: Backbone, bert: Backbone, prepared: Path, tmp_path: Path
) -> None:
    for backbone, name in ((gpt2, "gpt2"), (bert, "bert")):
        (tmp_path / name).mkdir()
        chosen = cell_with_prompt(backbone, "lama/P19", prepared, tmp_path / name)
        files = export_adapter(chosen, SETTINGS, tmp_path / name / "out")
        assert sorted(path.name for path in files) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
        _, ids, lengths, _ = our_logits(chosen, pd.DataFrame({"row": [1], "subject": ["Ann met Bob"]}))
        readme = (tmp_path / name / "out" / "README.md").read_text()
        text, after = " {subject}", []
        if backbone.kind == "masked":
            text, after = " {subject} {mask}", [backbone.tokenizer.sep_token_id]
            assert "the embeddings of `[CLS]` and the 3 prompt vectors" in readme
            assert "then `[SEP]`" in readme
        assert f"`{text}`" in readme
        filled = text.format(subject="Ann met Bob", mask=backbone.tokenizer.mask_token)
        virtual = json.loads((tmp_path / name / "out" / "adapter_config.json").read_text())["num_virtual_tokens"]
        fed = backbone.tokenizer(filled, add_special_tokens=False)["input_ids"] + after
        assert ids[0, virtual : int(lengths[0])].tolist() == fed


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "gpt_neox"])
@torch.no_grad()
def test_a_prefix_is_joined_to_every_attention_and_moves_positions_on(
    model_type: str, prepared: Path, tmp_path: Path
) -> None:
    """Against the library's own cache, filled with the prefix."""
    backbone = tiny_backbone(model_type, prepared)
    prefix = torch.randn(LENGTH, 2, 2, 16, dtype=torch.double, generator=torch.Generator().manual_seed(4))
    paths = paths_with(prepared, tmp_path)
    parts = Trainable(Prefix(prefix.flatten(1), attentions=2))
    chosen = finished_cell("fine_tuning", backbone, "lama/P19", "plain", parts, paths, all_methods())
    export_adapter(chosen, SETTINGS, tmp_path / "out")
    ids = torch.randint(20, 300, (2, 5), generator=torch.Generator().manual_seed(5))
    everything = torch.ones(2, LENGTH + 5, dtype=torch.long)
    by_layer = prefix.unflatten(3, (2, 8)).permute(1, 2, 3, 0, 4)[:, :, None].expand(-1, -1, 2, -1, -1, -1)
    cache = DynamicCache([tuple(layer) for layer in by_layer])  # keys and values (R, heads, P, size of a head)
    expected = backbone.model(input_ids=ids, attention_mask=everything, past_key_values=cache).logits
    model = PeftModel.from_pretrained(copy.deepcopy(backbone.model), str(tmp_path / "out")).double().eval()
    mask = everything[:, LENGTH:]
    theirs = model(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(theirs, expected, rtol=1e-5, atol=1e-5)
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "tokenised as usual" in readme
    assert "the text is `{subject}`, each field" in readme


@pytest.mark.parametrize(("model_type", "reason"), [("bert", "masked language models do not"), ("t5", "encoder too")])
def test_prefixes_that_peft_cannot_place_are_refused(
    model_type: str, reason: str, prepared: Path, tmp_path: Path
) -> None:
    backbone = tiny_backbone(model_type, prepared)
    parts, paths = Trainable(Prefix(torch.zeros(1, 6 * 2 * 16), attentions=6)), paths_with(prepared, tmp_path)
    chosen = finished_cell("fine_tuning", backbone, "lama/P19", "plain", parts, paths, all_methods())
    with pytest.raises(UserError, match=reason):
        export_adapter(chosen, SETTINGS, tmp_path / "out")


def test_the_config_names_the_base_model_and_no_place(gpt2: Backbone, prepared: Path, tmp_path: Path) -> None:
    export_adapter(cell_with_prompt(gpt2, "lama/P19", prepared, tmp_path), SETTINGS, tmp_path / "out")
    text = (tmp_path / "out" / "adapter_config.json").read_text()
    assert (json.loads(text)["base_model_name_or_path"], json.loads(text)["revision"]) == ("nobody/model", "abc")
    assert str(tmp_path) not in text


def prompt_of(length: int) -> SoftPrompt:
    return SoftPrompt(torch.zeros(length, 16), "identity")


def prefix_of(length: int) -> Prefix:
    return Prefix(torch.zeros(length, 2 * 2 * 16), attentions=2)


def head() -> Head:
    return Head(nn.Linear(16, 2))


def keyed_pool() -> PromptPool:
    return PromptPool(torch.zeros(2, 1, 16), 1, keys=torch.ones(2, 16))


@pytest.mark.parametrize(
    ("method", "template", "parts", "reason"),
    [
        (
            "p_tuning",
            "p-tuning-causal",
            lambda _: [prompt_of(4)],
            r"template p-tuning-causal .* has some behind \{subject\}",
        ),
        ("random_backbone", "p-tuning-causal", lambda _: [prompt_of(1)], "a copy of the backbone with other weights"),
        (
            "fine_tuning",
            "plain",
            lambda backbone: [head(), TunedWeights(backbone.model)],
            "all weights of its backbone are tuned",
        ),
        ("prompt_tuning", "prompt+plain", lambda _: [prompt_of(1), head()], "classification head"),
        ("prompt_tuning", "prompt+plain", lambda _: [keyed_pool()], r"what it keeps \(pool\)"),
        ("prompt_tuning", "prompt+plain", lambda _: [prompt_of(1), prefix_of(1)], r"what it keeps \(prefix, prompt\)"),
        ("manual", "lama", lambda _: [], "keeps nothing"),
    ],
)
def test_what_peft_cannot_say_is_refused(
    method: str, template: str, parts: Callable[[Backbone], list[Part]], reason: str, gpt2: Backbone, prepared: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    paths = paths_with(prepared, tmp_path)
    if method == "manual":
        template = json.loads((prepared / "lama/P19/templates.json").read_text())["templates"][0]["id"]
    chosen = finished_cell(method, gpt2, "lama/P19", template, Trainable(*parts(gpt2)), paths, all_methods())
    with pytest.raises(UserError, match=rf"{method} on tiny_gpt2, lama/P19, seed 0 cannot be exported: .*{reason}"):
        export_adapter(chosen, SETTINGS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_slots_that_all_stand_in_front_can_be_exported(gpt2: Backbone, prepared: Path, tmp_path: Path) -> None:
    """A single vector of P-tuning's goes to the block before the subject."""
    parts = Trainable(SoftPrompt(torch.ones(1, 16, dtype=torch.double), "identity"))
    paths = paths_with(prepared, tmp_path)
    chosen = finished_cell("p_tuning", gpt2, "lama/P19", "p-tuning-causal", parts, paths, all_methods())
    export_adapter(chosen, SETTINGS, tmp_path / "out")
    assert load_file(tmp_path / "out" / "adapter_model.safetensors")["prompt_embeddings"].shape == (1, 16)
    (template,) = chosen.trained.method.templates(chosen.task, "causal")
    assert around_prompt(template, 1) == ("", " {subject} {mask}")


def test_a_folder_with_something_in_it_is_left_alone(gpt2: Backbone, prepared: Path, tmp_path: Path) -> None:
    chosen = cell_with_prompt(gpt2, "lama/P19", prepared, tmp_path)
    (tmp_path / "out").mkdir()
    export_adapter(chosen, SETTINGS, tmp_path / "out")
    (tmp_path / "out" / "README.md").write_text("mine")
    with pytest.raises(UserError, match=r"out is there already; name a folder"):
        export_adapter(chosen, SETTINGS, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == "mine"
