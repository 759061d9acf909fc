"""Prompt encoders against torch.nn, PEFT and the closed forms of the papers."""

import pytest
import torch
from peft import PromptTuningConfig, TaskType, get_peft_model
from torch import nn
from transformers import GPT2LMHeadModel

from softprompt.backbones.backbone import Backbone
from softprompt.inputs.batches import Batch, places
from softprompt.inputs.encoding import block_lengths
from softprompt.prompts.soft_prompt import FleetPrompts, SoftPrompt, fleet_prompts

ENCODERS = ("lstm", "wide_lstm", "mlp", "identity")


def encoder_of(name: str, length: int, size: int = 8) -> SoftPrompt:
    generator = torch.Generator().manual_seed(length)
    return SoftPrompt.drawn(name, length, torch.randn(20, size, generator=generator), generator).double()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ENCODERS)
def test_fleet_prompts_equal_every_members_own_module(name: str) -> None:
    encoders = [encoder_of(name, length) for length in (5, 1, 3)]
    together = fleet_prompts(encoders)
    for index, encoder in enumerate(encoders):
        own = encoder()  # torch.nn.LSTM, torch.nn.Linear
        torch.testing.assert_close(together[index, : len(own)], own, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ENCODERS)
def test_fleet_prompts_have_every_members_own_gradients(name: str) -> None:
    encoders = [encoder_of(name, length) for length in (4, 2)]
    weights = torch.randn(2, 4, 8, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    prompts = fleet_prompts(encoders)
    (prompts[0] * weights[0]).sum().add((prompts[1, :2] * weights[1, :2]).sum()).backward()
    for index, encoder in enumerate(encoders):
        twin = encoder_of(name, len(encoder.embedding))
        own = twin()
        (own * weights[index, : len(own)]).sum().backward()
        for (key, parameter), other in zip(encoder.named_parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, other.grad, rtol=0, atol=1e-12, msg=key)


@pytest.mark.parametrize(
    ("size", "length", "trained"), [(768, 9, 8_278_272), (1024, 9, 14_707_712), (1600, 6, 35_878_400)]
)
def test_lstm_encoder_trains_as_many_parameters_as_the_papers(size: int, length: int, trained: int) -> None:
    with torch.device("meta"):
        encoder = SoftPrompt(torch.empty(length, size), "lstm")
    assert sum(parameter.numel() for parameter in encoder.parameters()) == trained
    assert trained == length * size + 14 * size**2 + 18 * size


@pytest.mark.parametrize(
    ("length", "blocks", "lengths"), [(9, 3, [3, 3, 3]), (7, 3, [3, 2, 2]), (1, 2, [1, 0]), (4, 1, [4])]
)
def test_a_prompt_is_spread_evenly_over_its_blocks(length: int, blocks: int, lengths: list[int]) -> None:
    assert block_lengths(length, blocks) == lengths


def test_new_encoders_differ_by_generator_and_leave_global_randomness_alone() -> None:
    embeddings = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    state = torch.random.get_rng_state()
    same = [SoftPrompt.drawn("lstm", 3, embeddings, torch.Generator().manual_seed(seed))() for seed in (1, 1, 2)]
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


def test_prompts_stand_in_their_slots_and_nowhere_else(gpt2: Backbone) -> None:
    embeddings = torch.zeros(2, 4, 3)
    prompts = torch.tensor([[[1.0] * 3, [2.0] * 3], [[3.0] * 3, [4.0] * 3]])
    slots = torch.tensor([[-1, 0, 1, -1], [1, -1, -1, 0]])
    nothing = torch.zeros(2, 4, dtype=torch.long)
    rows, right = torch.arange(2), torch.ones(2, dtype=torch.bool)
    one, member = nothing[:, :1], torch.tensor([1, 0])
    batch = Batch(nothing, slots, nothing, one, one, right, member, rows, 0 * rows, rows, (rows, 0 * rows))
    placed, extra = FleetPrompts(prompts).inserted(embeddings, gpt2, batch)
    assert extra is None
    assert placed[..., 0].tolist() == [[0, 3, 4, 0], [2, 0, 0, 1]]


def test_prompt_tuning_equals_peft_for_the_same_weights(gpt2: Backbone) -> None:
    length, generator = 4, torch.Generator().manual_seed(0)
    ids = torch.randint(5, 300, (3, 7), generator=generator)
    twin = GPT2LMHeadModel(gpt2.model.config).double().eval()
    twin.load_state_dict(gpt2.model.state_dict())
    peft_model = get_peft_model(
        twin, PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=length)
    ).double()
    prompt = torch.randn(length, gpt2.embedding_size, dtype=torch.double, generator=generator)
    with torch.no_grad():
        peft_model.prompt_encoder["default"].embedding.weight.copy_(prompt)
        expected = peft_model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -1]
        rows = torch.cat([torch.zeros(3, length, dtype=torch.long), ids], dim=1)
        slots = torch.cat([torch.arange(length).expand(3, -1), torch.full_like(ids, -1)], dim=1)
        batch = Batch(
            rows,
            slots,
            torch.ones_like(rows),
            torch.full((3, 1), rows.shape[1] - 1),
            ids[:, :1],
            torch.ones(3, dtype=torch.bool),
            member=torch.zeros(3, dtype=torch.long),
            example=torch.arange(3),
            candidate=torch.zeros(3, dtype=torch.long),
            first=torch.arange(3),
            read=places(ids[:, :1]),
        )
        embeddings, _ = FleetPrompts(prompt[None]).inserted(gpt2.embed(rows), gpt2, batch)
        ours = gpt2.project(gpt2.encode(embeddings, batch.attention_mask, batch.read_at, batch.target)[:, 0])
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)


def test_mlp_encoder_is_two_linear_layers_not_three() -> None:
    encoder = encoder_of("mlp", 3)
    assert encoder.mlp is not None
    assert [type(layer) for layer in encoder.mlp] == [nn.Linear, nn.ReLU, nn.Linear]
