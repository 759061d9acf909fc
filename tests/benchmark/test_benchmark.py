"""What `make bench` compares is the same work on both sides, and its numbers follow from what its clock saw."""

import json
import re
import time
from pathlib import Path

import pytest
import torch

from helpers.paths import ROOT
from softprompt.benchmark.clock import timed_once, timed_steps
from softprompt.benchmark.contests import Arena
from softprompt.benchmark.fleets import Trainees
from softprompt.benchmark.measure import METHODS, SHAPES
from softprompt.benchmark.page import aims, page, write_pages
from softprompt.benchmark.peft_trainer import adapter, labelled
from softprompt.benchmark.probing import answers, naive_answers, permitted_words
from softprompt.benchmark.products import BareProducts, products_of_first_step
from softprompt.benchmark.records import Bench
from softprompt.benchmark.rounds import in_turns, spread
from softprompt.benchmark.settings import BATCH, PROMPT, TOKENS, VOCABULARY, Lane, Setting, Shape, Size, Texts
from softprompt.inputs.batches import Pool
from softprompt.prompts.trainable import gather
from softprompt.training.fleet import Fleet

CPU = torch.device("cpu")
TINY = Size("mini", layers=2, hidden_size=32, heads=2, member_steps=4)
COMMITTED = ROOT / "reports" / "bench.json"


@pytest.fixture(scope="module", params=SHAPES)
def arena(request: pytest.FixtureRequest) -> Arena:
    return Arena(request.param, TINY, CPU)


@pytest.mark.parametrize("method", METHODS)
def test_both_sides_have_the_same_losses_and_gradients(arena: Arena, method: str) -> None:
    from peft import get_peft_model

    setting = Setting(arena.shape, TINY, method, (1,))
    trainees = Trainees(setting, arena.backbone)
    member = trainees._member(0)
    (ours,) = member.trainable.values()
    peer = get_peft_model(arena.peer, adapter(setting, Lane()))
    theirs = peer.prompt_encoder["default"]
    networks = {"prefix_tuning": {"transform": "mlp"}, "p_tuning": {"lstm_head": "lstm", "mlp_head": "mlp"}}
    with torch.no_grad():
        theirs.embedding.weight.copy_(ours.embedding)
        for their_name, our_name in networks.get(method, {}).items():
            getattr(theirs, their_name).load_state_dict(getattr(ours, our_name).state_dict())
    rows = labelled(Texts.drawn(arena.shape, TOKENS, 0), setting, Lane())[:BATCH]
    loss = peer(**{name: torch.stack([row[name] for row in rows]) for name in rows[0]}).loss
    loss.backward()
    fleet, pool = Fleet(arena.backbone, [member.space]), Pool([member.train], CPU)
    batch = pool.batch(torch.zeros(BATCH, dtype=torch.long), torch.arange(BATCH))
    own_loss = fleet.losses(fleet.read(batch, gather([member.trainable]))).mean()
    own_loss.backward()
    torch.testing.assert_close(own_loss, loss, rtol=1e-5, atol=0)
    assert ours.embedding.grad.abs().max() > 1e-6
    torch.testing.assert_close(theirs.embedding.weight.grad, ours.embedding.grad, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_limit_is_the_arithmetic_of_a_step(shape: Shape) -> None:
    arena = Arena(shape, TINY, CPU)
    trainees = Trainees(Setting(shape, TINY, "prompt_tuning", (3,)), arena.backbone)
    bare = BareProducts(products_of_first_step(lambda: trainees.train(3, 1)), CPU)
    rows, tokens = 3 * BATCH, PROMPT + TOKENS - (shape == "gpt2")
    head = TINY.hidden_size * (VOCABULARY[shape] + (TINY.hidden_size if shape == "bert" else 0))
    assert bare.flops == 4 * rows * (tokens * 12 * TINY.layers * TINY.hidden_size**2 + head)  # forward and backward
    assert bare.run().step_seconds > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_naive_probing_gives_the_same_answers(shape: Shape) -> None:
    arena = Arena(shape, TINY, CPU)
    for model in (arena.backbone.model, arena.peer):
        for weight in model.parameters():
            weight.mul_(8)  # so that what is said hangs on the words
    texts, permitted = Texts.drawn(shape, TOKENS, 3, rows=40), permitted_words(shape)
    naive = naive_answers(arena.peer, texts, set(permitted.nonzero()[:, 0].tolist()))
    assert answers(arena.backbone, texts, permitted).tolist() == naive
    assert permitted[naive].all()
    assert len(set(naive)) > 1


def stepping(*pauses: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    for pause in pauses:
        time.sleep(pause)
        optimizer.step()


def test_the_clock_tells_steps_from_setting_up() -> None:
    timed = timed_steps(lambda: stepping(0.2, 0.02, 0.02), 3, CPU)
    assert 0.02 <= timed.step_seconds < 0.1
    assert 0.1 < timed.setup_seconds < timed.setup_seconds + timed.step_seconds < 1
    with pytest.raises(RuntimeError, match="2 optimiser steps were taken where 3 were asked for"):
        timed_steps(lambda: stepping(0.0, 0.0), 3, CPU)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells")
def test_memory_is_the_peak_beyond_what_was_there() -> None:
    there = torch.ones(30_000_000)
    taken = timed_once(lambda: torch.ones(20_000_000).sum(), CPU).memory_bytes
    assert 0.9 * 80e6 < taken < 1.5 * 80e6
    assert len(there)


def test_rounds_go_back_and_forth() -> None:
    order: list[str] = []
    rounds = in_turns({name: lambda name=name: order.append(name) or len(order) for name in "abc"}, seconds=0.0)
    assert "".join(order) == "abccbaabc"
    assert rounds == [{"a": 1, "b": 2, "c": 3}, {"c": 4, "b": 5, "a": 6}, {"a": 7, "b": 8, "c": 9}]
    assert spread([5.0, 1.0, 2.0, 3.0, 4.0]).model_dump() == {"median": 3.0, "low": 2.0, "high": 4.0}


def test_a_contest_is_recorded_and_its_page_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softprompt.benchmark.rounds.LEAST", 2)
    arena = Arena("bert", TINY, CPU)
    lanes = (Lane(prompt=2), Lane(prompt=4))
    trials = Setting("bert", TINY, "prompt_tuning", (1, 2, 3), "trials", lanes)
    members = Setting("bert", TINY, "prompt_tuning", (1, 16))
    training = arena.train(members, 0.0) + arena.train(trials, 0.0)
    bench = Bench(
        kind="cpu", device="here", threads=torch.get_num_threads(), versions={}, load=(0.0, 0.0), seconds=1.0,
        training=tuple(training), probing=(arena.probe(0.0),),
    )  # fmt: skip
    assert [one.members for one in training] == [1, 1, 16, 1, 1, 2, 3]
    assert all(one.rounds == 2 and one.setup_seconds > 0 for one in training)
    bench.write(tmp_path / "bench.json")
    assert Bench.read(tmp_path / "bench.json") == bench
    (tmp_path / "README.md").write_text("before\n<!-- rows of make bench -->\nold\n<!-- end of rows -->\nafter\n")
    write_pages(bench, tmp_path)
    assert (tmp_path / "docs" / "speed.md").read_text() == page(bench)
    readme = (tmp_path / "README.md").read_text()
    assert readme == f"before\n<!-- rows of make bench -->\n{aims(bench)}\n<!-- end of rows -->\nafter\n"
    assert sorted(path.name for path in (tmp_path / "docs" / "speed").iterdir()) == ["costs.svg", "widths.svg"]


def test_the_committed_page_says_what_was_measured() -> None:
    bench = Bench.read(COMMITTED)
    text = (ROOT / "docs" / "speed.md").read_text()
    assert text == page(bench)
    assert f"{aims(bench)}\n<!-- end of rows -->" in (ROOT / "README.md").read_text()
    for figure in re.findall(r"\]\((speed/\w+\.svg)\)", text):
        assert (ROOT / "docs" / figure).is_file()
    assert json.loads(COMMITTED.read_text())["training"]
