"""Architectures that nothing here was written for: each gives its own logits, or is refused when it is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel
from transformers.models.t5.modeling_t5 import T5DenseGatedActDense

from helpers.backbones import trained_tokenizer
from softprompt.backbones.loading import answer_logits, library_logits, load_backbone, probe_rows
from softprompt.config import Kind
from softprompt.errors import UserError

CPU = torch.device("cpu")
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
GROUPED = SIZES | {"num_key_value_heads": 1, "head_dim": 16}
BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}
T5 = {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_kv": 16, "d_ff": 64}
# type: (kind, class, sizes, whose tokenizer it has, longest input)
WORKING: dict[str, tuple[Kind, str, dict[str, Any], str, int]] = {
    "xlm-roberta": ("masked", "XLMRobertaForMaskedLM", SIZES, "roberta", 62),
    "camembert": ("masked", "CamembertForMaskedLM", SIZES, "roberta", 62),
    "mpnet": ("masked", "MPNetForMaskedLM", SIZES, "roberta", 62),
    "deberta-v2": ("masked", "DebertaV2ForMaskedLM", SIZES | {"relative_attention": True}, "bert", 64),
    "modernbert": ("masked", "ModernBertForMaskedLM", SIZES, "bert", 64),
    "qwen2": ("causal", "Qwen2ForCausalLM", GROUPED, "gpt2", 64),
    "qwen3": ("causal", "Qwen3ForCausalLM", GROUPED, "gpt2", 64),
    "llama": ("causal", "LlamaForCausalLM", GROUPED | {"tie_word_embeddings": True}, "gpt2", 64),
    "mistral": ("causal", "MistralForCausalLM", GROUPED, "gpt2", 64),
    "gemma2": ("causal", "Gemma2ForCausalLM", GROUPED | {"final_logit_softcapping": 0.5}, "gpt2", 64),
    "cohere": ("causal", "CohereForCausalLM", SIZES | {"logit_scale": 0.25}, "gpt2", 64),
    "granite": (
        "causal",
        "GraniteForCausalLM",
        SIZES | {"logits_scaling": 8.0, "embedding_multiplier": 3.0},
        "gpt2",
        64,
    ),
    "phi": ("causal", "PhiForCausalLM", SIZES, "gpt2", 64),
    "opt": ("causal", "OPTForCausalLM", SIZES | {"ffn_dim": 64, "word_embed_proj_dim": 32}, "gpt2", 64),
    "bloom": ("causal", "BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 2}, "gpt2", 512),
    "mt5": ("seq2seq", "MT5ForConditionalGeneration", T5 | {"decoder_start_token_id": 0}, "t5", 512),
    "bart": ("seq2seq", "BartForConditionalGeneration", BART, "t5", 64),
}


def saved(type_: str, class_name: str, sizes: dict[str, Any], tokenizer_of: str, prepared: Path, out: Path) -> Path:
    """A model folder with random weights, biases included."""
    tokenizer = trained_tokenizer(tokenizer_of, prepared)
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = transformers.AutoConfig.for_model(type_, vocab_size=len(tokenizer), **special, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: PreTrainedModel = getattr(transformers, class_name)(config)
        with torch.no_grad():
            for weight in (*model.parameters(), *model.buffers()):
                if weight.is_floating_point():
                    weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


@pytest.mark.parametrize("type_", sorted(WORKING))
def test_logits_are_the_models_own(type_: str, prepared: Path, tmp_path: Path) -> None:
    kind, class_name, sizes, tokenizer_of, longest = WORKING[type_]
    folder = saved(type_, class_name, sizes, tokenizer_of, prepared, tmp_path / "model")
    backbone = load_backbone("new", kind, folder, CPU)
    backbone.model.double()
    ids, mask = probe_rows(backbone)
    ours, own = answer_logits(backbone, ids, mask), library_logits(backbone, ids, mask)
    torch.testing.assert_close(ours, own, rtol=1e-10, atol=1e-10)
    assert own.std() > 1e-3
    assert backbone.max_tokens == longest


def test_the_gelu_of_t5_1_1_is_one_operation(prepared: Path, tmp_path: Path) -> None:
    sizes = T5 | {"decoder_start_token_id": 0, "feed_forward_proj": "gated-gelu"}
    folder = saved("t5", "T5ForConditionalGeneration", sizes, "t5", prepared, tmp_path / "model")
    layers = load_backbone("new", "seq2seq", folder, CPU).model.modules()
    activations = [layer.act for layer in layers if isinstance(layer, T5DenseGatedActDense)]
    assert len(activations) == 4
    states = torch.zeros(3)
    for activation in activations:
        with torch.profiler.profile() as profile:
            activation(states)
        assert [event.key for event in profile.key_averages()] == ["aten::gelu"]


REFUSED = {
    "masked models of type 'fnet' do not work here: padding changes its logits": (
        "fnet", "masked", "FNetForMaskedLM", SIZES, "bert",
    ),
    "masked models of type 'esm' do not work here: its logits from embeddings differ from those from token ids": (
        "esm", "masked", "EsmForMaskedLM", SIZES | {"token_dropout": True, "mask_token_id": 4}, "bert",
    ),
    "masked models of type 'ibert' do not work here: its forward pass from embeddings fails": (
        "ibert", "masked", "IBertForMaskedLM", SIZES, "roberta",
    ),
    "masked models of type 'bert' do not work here: its tokenizer has no mask token": (
        "bert", "masked", "BertForMaskedLM", SIZES, "gpt2",
    ),
    "seq2seq models of type 'bart' do not work here: its tokenizer has no <extra_id_0>": (
        "bart", "seq2seq", "BartForConditionalGeneration", BART, "roberta",
    ),
    "kind is masked, but transformers has no masked language model of type 'gpt2'; write kind: causal": (
        "gpt2", "masked", "GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 2}, "gpt2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", sorted(REFUSED))
def test_what_cannot_work_is_refused_when_it_is_loaded(reason: str, prepared: Path, tmp_path: Path) -> None:
    type_, kind, class_name, sizes, tokenizer_of = REFUSED[reason]
    folder = saved(type_, class_name, sizes, tokenizer_of, prepared, tmp_path / "model")
    with pytest.raises(UserError, match=reason) as refused:
        load_backbone("new", kind, folder, CPU)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_type_that_transformers_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "of_my_own"}))
    with pytest.raises(UserError, match=r"backbone new: .*config\.json: .*of_my_own"):
        load_backbone("new", "causal", tmp_path, CPU)
