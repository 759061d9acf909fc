"""Dropout that a row has for itself: against SplitMix64 and attention written out, alone and in company."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.backbones import BACKBONE_TYPES, RATE, dropping_backbone, tiny_backbone
from softprompt.backbones.attention import RowPrefixes
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.dropout import RowNoise, row_streams, stream_number
from softprompt.errors import UserError


def splitmix(seed: int, count: int) -> list[int]:
    """The generator as its authors give it, in integers without end."""
    numbers, state = [], seed
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        numbers.append(z ^ (z >> 31))
    return numbers


def states(backbone: Backbone, rows: list[Tensor], noise: Tensor | None, prefixes: list[Tensor] | None) -> Tensor:
    """Of the last token of each row; every row has a prefix of its own."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    answer = torch.tensor([[7, 9]]).repeat(len(rows), 1)  # two tokens, so that a decoder sees one before the other
    read_at = (lengths - 2)[:, None] + torch.arange(2)
    joined = None
    if prefixes is not None:
        padded = nn.utils.rnn.pad_sequence(prefixes, batch_first=True)
        joined = RowPrefixes(padded, torch.tensor([len(one) for one in prefixes]), torch.arange(len(rows)))
    return backbone.encode(backbone.embed(ids), mask, read_at, answer, joined, noise)


@pytest.mark.parametrize("seed", [0, 1234567, 2**63 - 1])
def test_streams_are_those_of_splitmix64(seed: int) -> None:
    found = stream_number(torch.tensor(seed), torch.arange(20))
    assert [int(number) % 2**64 for number in found] == splitmix(seed, 20)
    assert splitmix(1234567, 2) == [6457827717110365317, 3203168211198807973]  # published for this seed


def test_a_rows_stream_is_its_members_and_counts_its_place() -> None:
    streams = torch.tensor([5, 6, 7])
    together = row_streams(streams, torch.tensor([0, 0, 2, 2, 2]))
    assert torch.equal(together[:2], stream_number(torch.tensor(5), torch.arange(2)))
    assert torch.equal(together[2:], row_streams(streams[2:], torch.zeros(3, dtype=torch.long)))
    assert len(set(together.tolist())) == 5


@pytest.mark.parametrize("with_prefixes", [False, True])
@pytest.mark.parametrize("model_type", BACKBONE_TYPES)
@torch.no_grad()
def test_a_row_drops_out_alike_alone_and_in_company(model_type: str, with_prefixes: bool, prepared: Path) -> None:
    backbone = dropping_backbone(model_type, prepared)
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(5, 300, (length,), generator=generator) for length in (4, 9, 6)]
    attentions, prefixes = backbone.attentions, None
    assert attentions is not None
    if with_prefixes:
        shape = (attentions.count, 2, attentions.size)
        prefixes = [torch.randn(length, *shape, generator=generator).double() for length in (1, 2, 5)]
    noise = torch.tensor([11, 12, 13])
    assert backbone.drops_out
    together = states(backbone, rows, noise, prefixes)
    for row in range(len(rows)):
        own = None if prefixes is None else prefixes[row : row + 1]
        alone = states(backbone, rows[row : row + 1], noise[row : row + 1], own)
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-10)
    others = states(backbone, rows, noise + 1, prefixes)
    quiet = states(backbone, rows, None, prefixes)
    assert (together - others).abs().amax(dim=(1, 2)).min() > 1e-4
    assert (together - quiet).abs().amax(dim=(1, 2)).min() > 1e-4
    plain = tiny_backbone(model_type, prepared)
    torch.testing.assert_close(quiet, states(plain, rows, None, prefixes), rtol=0, atol=1e-10)
    assert not any(module.training for module in backbone.model.modules())
    assert not plain.drops_out


def test_a_share_of_numbers_goes_and_the_others_grow_so_that_the_mean_stays() -> None:
    streams = row_streams(torch.tensor([1, 2]), torch.tensor([0] * 32 + [1] * 32))
    ones = torch.ones(64, 25, 40)
    with RowNoise(streams, 0) as noise:
        layers = [functional.dropout(ones, RATE) for _ in range(4)]
        kept = functional.dropout(ones, RATE, training=False), functional.dropout(ones, 0.0)
    assert noise.calls == 4
    assert all(torch.equal(one, ones) for one in kept)
    for index, layer in enumerate(layers):
        assert set(layer.unique().tolist()) == {0.0, float(torch.tensor(1.0) / (1 - RATE))}
        gone = (layer == 0).double()
        deviation = (RATE * (1 - RATE)) ** 0.5
        assert abs(float(gone.mean()) - RATE) < 4 * deviation / gone.numel() ** 0.5
        for axes in ((1, 2), (0, 2), (0, 1)):  # no row, token or channel is favoured
            shares = gone.mean(dim=axes)
            assert (shares - RATE).abs().max() < 5 * deviation / (gone.numel() / len(shares)) ** 0.5
        other = (layers[index - 1] == 0).double()
        both = float((gone * other).mean())  # independent of another layer's
        assert abs(both - RATE**2) < 5 * (RATE**2 * (1 - RATE**2) / gone.numel()) ** 0.5


@pytest.mark.parametrize("masked", ["bool", "added", "causal", "none"])
def test_attention_drops_weights_after_its_softmax(masked: str) -> None:
    generator = torch.Generator().manual_seed(4)
    query, key, value = (torch.randn(2, 4, 3, 5, generator=generator).double() for _ in range(3))
    key, value = key[:, :2], value[:, :2]  # grouped queries
    allowed = torch.tensor([[True, True, False], [True, True, True], [True, False, True]])[None, None]
    given = {"bool": allowed, "added": torch.zeros(1).double().where(allowed, -1e9)}.get(masked)
    causal = masked == "causal"
    settings = {"is_causal": causal, "scale": 0.3, "enable_gqa": True}
    streams = torch.tensor([1, 2])
    with RowNoise(streams, 0):
        found = functional.scaled_dot_product_attention(query, key, value, given, dropout_p=0.5, **settings)
        without = functional.scaled_dot_product_attention(query, key, value, given, **settings)
    with RowNoise(streams, 0):
        noise = functional.dropout(torch.ones(2, 4, 3, 3).double(), 0.5)
    expected, quiet = torch.zeros_like(query), torch.zeros_like(query)
    for row, head, token in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(3)).tolist():
        scores = torch.stack([0.3 * query[row, head, token] @ one for one in key[row, head // 2]])
        if causal:
            scores[token + 1 :] = float("-inf")
        elif masked != "none":
            scores[~allowed[0, 0, token]] = float("-inf")
        weights = torch.exp(scores) / torch.exp(scores).sum()
        quiet[row, head, token] = weights @ value[row, head // 2]
        expected[row, head, token] = (weights * noise[row, head, token]) @ value[row, head // 2]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(without, quiet, rtol=0, atol=1e-12)


class _NoisyLayer(nn.Module):
    def forward(self, states: Tensor) -> Tensor:
        return functional.alpha_dropout(states, 0.1, self.training)


def test_noise_that_no_row_can_have_for_itself_is_refused(prepared: Path) -> None:
    backbone = dropping_backbone("bert", prepared)
    backbone.model.base_model.encoder.layer[0].output.dropout = _NoisyLayer()
    with pytest.raises(UserError, match=r"draws noise by alpha_dropout .* backbone_dropout: false"):
        assert backbone.drops_out
    assert not backbone.model.training
    with pytest.raises(UserError, match="a tensor of 6 rows where its batch has 2"), RowNoise(torch.tensor([1, 2]), 0):
        functional.dropout(torch.ones(6, 3), 0.1)
