"""Backbones against the library's own forward pass, on wide and narrow weights, and what does not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM

from helpers.backbones import tiny_backbone
from softprompt.backbones import loading, memory
from softprompt.backbones.backbone import NO_BLANK, Backbone
from softprompt.backbones.loading import load_backbone
from softprompt.backbones.memory import parameters_in
from softprompt.errors import UserError
from softprompt.inputs.encoding import NO_TOKEN

CPU = torch.device("cpu")


def logits_of(backbone: Backbone, ids: torch.Tensor, mask: torch.Tensor, read_at: torch.Tensor) -> torch.Tensor:
    """Ours: (R, V)."""
    unread = torch.full((len(ids), 1), NO_TOKEN)
    return backbone.project(backbone.encode(backbone.embed(ids), mask, read_at[:, None], unread)[:, 0])


def library_logits(backbone: Backbone, ids: torch.Tensor, mask: torch.Tensor, read_at: torch.Tensor) -> torch.Tensor:
    """The library's, from token ids by its own forward pass: (R, V)."""
    if backbone.kind == "seq2seq":
        start = [backbone.model.config.decoder_start_token_id, backbone.tokenizer.convert_tokens_to_ids("<extra_id_0>")]
        decoder_ids = torch.tensor([start]).expand(len(ids), -1)
        return backbone.model(input_ids=ids, attention_mask=mask, decoder_input_ids=decoder_ids).logits[:, -1]
    return backbone.model(input_ids=ids, attention_mask=mask).logits[torch.arange(len(ids)), read_at]


def rows(vocabulary: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three rows of 9 tokens, of which 9, 7 and 4 count, without padding tokens of any model among those."""
    ids = torch.randint(20, vocabulary, (3, 9), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([9, 7, 4])
    mask = (torch.arange(9) < lengths[:, None]).long()
    return ids, mask, lengths - 1


def test_logits_are_those_of_the_library(backbone: Backbone) -> None:
    batch = rows(backbone.model.config.vocab_size)
    torch.testing.assert_close(logits_of(backbone, *batch), library_logits(backbone, *batch), rtol=1e-9, atol=1e-9)


def test_no_pass_keeps_keys_and_values(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    update = DynamicCache.update
    monkeypatch.setattr(DynamicCache, "update", lambda *args, **more: (kept.append(args), update(*args, **more))[1])
    batch = rows(backbone.model.config.vocab_size)
    library_logits(backbone, *batch)
    assert bool(kept) == (backbone.kind != "masked")  # a model by itself does where it writes text
    kept.clear()
    logits_of(backbone, *batch)
    assert not kept


def test_a_decoder_begins_with_the_sentinel_where_a_row_has_a_blank_only(prepared: Path) -> None:
    """Rows of both sorts side by side, with answers of three tokens and of one."""
    t5 = tiny_backbone("t5", prepared)
    ids, mask, _ = rows(t5.vocabulary_size)
    answer = torch.tensor([[31, 32, 33], [41, NO_TOKEN, NO_TOKEN], [51, 52, 53]])
    read_at = torch.tensor([[4, 5, 6], [NO_BLANK] * 3, [NO_BLANK] * 3])
    ours = t5.project(t5.encode(t5.embed(ids), mask, read_at, answer))
    start, sentinel = t5.model.config.decoder_start_token_id, t5.tokenizer.convert_tokens_to_ids("<extra_id_0>")
    for row, opening in enumerate(([start, sentinel], [start], [start])):
        known = answer[row][answer[row] != NO_TOKEN]
        decoder_ids = torch.tensor([[*opening, *known[:-1].tolist()]])
        own = ids[row : row + 1, : int(mask[row].sum())]
        theirs = t5.model(input_ids=own, decoder_input_ids=decoder_ids).logits[0, len(opening) - 1 :]
        torch.testing.assert_close(ours[row, : len(known)], theirs, rtol=1e-9, atol=1e-9)


def test_a_causal_type_that_is_not_pretrained_here_works_too() -> None:
    config = Qwen2Config(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
    )
    model = Qwen2ForCausalLM(config).double().eval()
    qwen = Backbone("qwen", "causal", model, None, "test", has_lm_head=True)  # type: ignore[arg-type]
    torch.testing.assert_close(logits_of(qwen, *rows(60)), library_logits(qwen, *rows(60)), rtol=1e-9, atol=1e-9)


def test_narrow_weights_take_and_give_float32_and_train_in_it(backbone: Backbone) -> None:
    wide, narrow = backbone.tuned_copy(), backbone.tuned_copy()
    wide.model.float()
    narrow.model.bfloat16()
    ids, mask, read_at = rows(backbone.model.config.vocab_size)
    prompt = narrow.embed(ids).detach().requires_grad_(True)  # (R, T, D)
    unread = torch.full((len(ids), 1), NO_TOKEN)
    logits = narrow.project(narrow.encode(prompt, mask, read_at[:, None], unread)[:, 0])
    logits.logsumexp(dim=1).sum().backward()
    assert logits.dtype == prompt.dtype == torch.float32
    assert prompt.grad is not None
    assert prompt.grad.dtype == torch.float32
    assert narrow.word_embeddings().dtype == torch.float32
    assert {weight.dtype for weight in narrow.tuned_copy().model.parameters()} == {torch.float32}
    torch.testing.assert_close(logits, logits_of(wide, ids, mask, read_at), rtol=0.1, atol=0.15)
    with torch.autocast("cpu", torch.bfloat16):  # as a fleet does on a GPU
        mixed = logits_of(narrow, ids, mask, read_at)
    torch.testing.assert_close(mixed.float(), logits, rtol=0.1, atol=0.15)


def test_weights_are_counted_from_their_files_without_loading(bert: Backbone, tmp_path: Path) -> None:
    expected = sum(weight.numel() for weight in bert.model.parameters())
    for name, dtype in (("wide", torch.float32), ("narrow", torch.bfloat16)):
        (tmp_path / name).mkdir()
        tensors = {key: weight.to(dtype).clone() for key, weight in bert.model.named_parameters()}
        save_file(tensors, tmp_path / name / "model.safetensors")
        assert parameters_in(tmp_path / name) == expected
    (tmp_path / "pickled").mkdir()
    torch.save(tensors | {"one": torch.zeros(0)}, tmp_path / "pickled" / "pytorch_model.bin")
    assert parameters_in(tmp_path / "pickled") >= expected // 2


def test_the_dtype_is_part_of_the_revision(bert: Backbone, tmp_path: Path) -> None:
    bert.with_model(bert.tuned_copy().model.float()).model.save_pretrained(tmp_path)
    bert.tokenizer.save_pretrained(tmp_path)
    wide, narrow = (load_backbone("b", "masked", tmp_path, CPU, dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert narrow.revision == f"{wide.revision}-bfloat16"
    assert narrow.model.dtype == torch.bfloat16
    assert wide.model.dtype == torch.float32


def test_weights_that_do_not_fit_are_refused_before_they_are_loaded(
    bert: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert.model.save_pretrained(tmp_path)
    monkeypatch.setattr(memory, "main_memory_bytes", lambda: 1000)
    monkeypatch.setattr(loading, "with_fused_activation", lambda _: pytest.fail("it was loaded"))
    expected = r"backbones.b: its weights need 0.0 GiB as float32, but the cpu device has .* dtype: bfloat16, or take b"
    with pytest.raises(UserError, match=expected):
        load_backbone("b", "masked", tmp_path, CPU)
