"""What is reckoned of memory, against what tensors really take."""

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from helpers.live_memory import LiveMemory
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.memory import members_that_fit, room_on, rows_that_fit, tokens_to_answer, tokens_to_train
from softprompt.backbones.size import STATE_BYTES, ModelSize, size_of, tuned_bytes
from softprompt.config import Budget, Recipe
from softprompt.inputs.batches import Pool, one_row_each
from softprompt.inputs.encoding import NO_TOKEN, ORDINARY, Encoded
from softprompt.inputs.outputs import OutputSpace
from softprompt.prompts.trainable import FleetParts, Trainable
from softprompt.prompts.tuned_weights import TunedWeights
from softprompt.training import loop
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Member

WIDTH, LAYERS, ROWS, TOKENS = 128, 3, 4, 96
CONFIGS = {
    "bert": transformers.BertConfig(
        vocab_size=500, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=4 * WIDTH
    ),
    "gpt2": transformers.GPT2Config(
        vocab_size=500, n_embd=WIDTH, n_layer=LAYERS, n_head=2, activation_function="gelu_pytorch_tanh",
        bos_token_id=0, eos_token_id=0,
    ),
    "llama": transformers.LlamaConfig(
        vocab_size=500, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=3 * WIDTH
    ),
}  # fmt: skip


def body_of(name: str, *, tuned: bool) -> torch.nn.Module:
    body = transformers.AutoModel.from_config(CONFIGS[name]).eval()
    return body.requires_grad_(tuned)


def passed(body: torch.nn.Module) -> torch.Tensor:
    """The last state of rows of different lengths."""
    embeddings = torch.randn(ROWS, TOKENS, WIDTH, requires_grad=True)
    mask = torch.ones(ROWS, TOKENS, dtype=torch.long)
    mask[0, -5:] = 0
    return body(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_pass_leaves_as_much_as_is_reckoned(name: str, kind: str, tuned: bool) -> None:
    """What a GPU does in bfloat16 is done on the CPU here, apart from the weights' own copies."""
    body = body_of(name, tuned=tuned)
    weights = sum(weight.numel() for weight in body.parameters())
    casts, gradients = 2 * weights * (kind == "cuda"), 4 * weights * tuned
    with LiveMemory() as memory:
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "cuda"):
            last = passed(body)
        last.float()[:, 0].sum().backward()
    reckoned = ROWS * ModelSize(0, LAYERS, WIDTH).training_bytes(TOKENS, 0, kind)
    assert 0.4 * reckoned < memory.peak - casts - gradients
    assert memory.peak < reckoned + casts + gradients


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_pass_without_gradients_takes_as_much_as_is_reckoned(name: str) -> None:
    with torch.no_grad(), LiveMemory() as memory:
        passed(body_of(name, tuned=False))
    reckoned = ROWS * ModelSize(0, LAYERS, WIDTH).answering_bytes(TOKENS, 0)
    weights = sum(weight.numel() for weight in body_of(name, tuned=False).parameters()) * 4
    assert 0.4 * reckoned < memory.peak - weights < 1.05 * reckoned


def test_logits_take_as_much_as_is_reckoned() -> None:
    """Where the vocabulary is most of all, and the loss runs over some of it."""
    vocabulary, rows = 20_000, 6
    backbone, split = backbone_of(vocabulary, 16, 1), one_row_each(words(rows), torch.arange(rows))
    in_loss = torch.ones(vocabulary, dtype=torch.bool)
    in_loss[-1] = False
    fleet, pool = Fleet(backbone, [OutputSpace(in_loss, in_loss)]), Pool([split], backbone.device)
    batch = pool.batch(torch.zeros(rows, dtype=torch.long), torch.arange(rows))
    reckoned = ModelSize(0, 1, 16, vocabulary)
    with LiveMemory() as training:
        embeddings = backbone.embed(batch.ids).requires_grad_()
        hidden = backbone.encode(embeddings, batch.attention_mask, batch.read_at, batch.target)
        logits = backbone.project(hidden[:, 0]).masked_fill(~fleet.in_loss[batch.member], float("-inf"))
        torch.nn.functional.cross_entropy(logits, batch.target[:, 0]).backward()
    del embeddings, hidden, logits
    with LiveMemory() as answering:
        fleet.predict(pool, [0], FleetParts(), 10**6)
    assert 0.5 < training.peak / (rows * reckoned.training_bytes(4, 1, "cpu")) < 1.1
    assert 0.5 < answering.peak / (rows * reckoned.answering_bytes(4, 1)) < 1.1


def backbone_of(vocabulary: int, width: int, layers: int) -> Backbone:
    config = transformers.GPT2Config(
        vocab_size=vocabulary, n_embd=width, n_layer=layers, n_head=1, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config).eval().requires_grad_(False)
    return Backbone("wide", "causal", model, None, "test", has_lm_head=True)  # type: ignore[arg-type]


def words(rows: int, tokens: int = 4) -> Encoded:
    return Encoded(
        ids=torch.arange(rows * tokens).view(rows, tokens),
        slots=torch.full((rows, tokens), ORDINARY),
        lengths=torch.full((rows,), tokens),
        read_at=torch.full((rows, 1), tokens - 1),
        answer=torch.full((rows, 1), NO_TOKEN),
    )


def test_a_member_that_tunes_takes_as_much_as_is_reckoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside its weights, until its best state goes to main memory: gradients, both moments, and a clipped norm."""
    vocabulary, width, layers = 200, 128, 4
    own = backbone_of(vocabulary, width, layers).tuned_copy()
    split, everything = one_row_each(words(3), torch.arange(3)), torch.ones(vocabulary, dtype=torch.bool)
    space, trainable = OutputSpace(everything, everything), Trainable(TunedWeights(own.model))
    member = Member("one", space, 1e-3, split, split, lambda _: 0.0, trainable)
    taken: list[int] = []
    keep_best = loop.keep_best
    budget = Budget(trials=2, steps=2, batch_size=1, eval_every=2, patience=1)
    recipe = Recipe(optimizer="adamw", clip_norm=1.0)
    with LiveMemory() as memory:
        monkeypatch.setattr(loop, "keep_best", lambda *given: (taken.append(memory.peak), keep_best(*given)))
        (trained,) = train_fleet(FleetWork(own, [member], budget, recipe, 100))
    parameters = own.model.num_parameters()
    a_pass = ModelSize(parameters, layers, width, vocabulary).training_bytes(4, 1, "cpu")
    assert trained.saved
    assert STATE_BYTES * parameters < taken[0] < 1.05 * STATE_BYTES * parameters + a_pass
    assert tuned_bytes(parameters, 4, "cpu") == (4 + 4 + STATE_BYTES) * parameters


@given(st.floats(1, 1e9), st.floats(-1e12, 1e12))
def test_rows_are_a_power_of_two_that_fits(row_bytes: float, room: float) -> None:
    rows = rows_that_fit(row_bytes, room)
    assert rows.bit_count() == 1
    assert rows == 1 or rows * row_bytes <= room
    assert 2 * rows * row_bytes > room


@given(st.integers(1, 64), st.integers(1, 200), st.integers(1, 5000))
def test_fleets_are_as_wide_as_fits_in_halvings(most: int, rows: int, fitting: int) -> None:
    members = members_that_fit(most, rows, fitting)
    halvings = [most >> times for times in range(most.bit_length())]
    assert members == next((one for one in halvings if one * rows <= fitting), 1)


def test_on_a_cpu_nothing_is_bounded(bert: Backbone) -> None:
    assert room_on(bert.device) is None
    assert tokens_to_train(bert.model, 20, 1, 0.0) is None
    assert tokens_to_answer(bert.model, 777, 20, 1) == 777


def test_on_a_device_passes_are_what_it_has_room_for(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    size = size_of(backbone.model)
    assert size is not None
    assert (size.layers, size.hidden_size, size.vocabulary) == (2, 16, backbone.vocabulary_size)
    a_row = size.training_bytes(20, 1, "cpu")
    monkeypatch.setattr("softprompt.backbones.memory.room_on", lambda _: 100 * a_row)
    assert tokens_to_train(backbone.model, 20, 1, 0.0) == 64 * 20
    assert tokens_to_train(backbone.model, 20, 1, 90 * a_row) == 8 * 20
    assert tokens_to_train(backbone.model, 20, 1, 200 * a_row) == 20
    fitting = tokens_to_answer(backbone.model, 10**9, 8, 1)
    assert fitting == 8 * rows_that_fit(size.answering_bytes(8, 1), 100 * a_row)
    assert tokens_to_answer(backbone.model, 9, 8, 1) == 9
