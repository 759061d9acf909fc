"""Tokenizers, packing, objectives and pretraining of every architecture, on a world small enough for seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from softprompt.backbones.architectures import ARCHITECTURES, build_model
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.loading import load_backbone
from softprompt.backbones.objectives import IGNORED, causal_loss, corrupt_answers, masked_loss
from softprompt.backbones.packing import Corpus, Growth, Rows, endless_batches, pack_epoch, read_corpus, read_texts
from softprompt.backbones.pretraining import interleave, learning_rate_share, pretrain, streams_of
from softprompt.backbones.tokenizer import train_tokenizer
from softprompt.config import Architecture, BackboneSettings, PretrainingSettings, WorldSettings
from softprompt.data.embedded import write_world
from softprompt.errors import UserError
from softprompt.files import sha256_of_folder
from softprompt.seeding import stream_seed

CPU = torch.device("cpu")
TYPES = sorted(ARCHITECTURES)

pytestmark = pytest.mark.xdist_group("pretraining")  # one worker makes what the module shares


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(WorldSettings(subjects=30), root)
    return root / "text"


@pytest.fixture(scope="module")
def answers(text: Path) -> list[str]:
    found: list[str] = json.loads((text / "answers.json").read_text())
    return found


@pytest.fixture(scope="module", params=TYPES)
def model_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tokenizer(model_type: str, text: Path, answers: list[str]) -> PreTrainedTokenizerBase:
    return train_tokenizer(model_type, [row["text"] for row in read_texts(text / "facts.jsonl")], answers, 600)


def settings_for(model_type: str, **pretraining: float) -> BackboneSettings:
    size = {"hidden_size": 16, "heads": 2, "feed_forward_size": 32, "positions": 96, "vocabulary_size": 600}
    return BackboneSettings(
        source="pretrain",
        kind=ARCHITECTURES[model_type].kind,
        architecture=Architecture.model_validate({"type": model_type, **size}),
        pretraining=PretrainingSettings.model_validate({"steps": 6, "batch_size": 4, **pretraining}),
    )


def ignore(step: int, steps: int, loss: float) -> None:
    """A progress that nobody watches."""


@pytest.fixture(scope="module")
def backbone(model_type: str, text: Path, answers: list[str], tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    out = tmp_path_factory.mktemp("models") / model_type
    files = [text / "facts.jsonl", text / "documents.jsonl"]
    settings = settings_for(model_type, documents_share=0.5)
    report = pretrain(settings, files, answers, out, key="k", device=CPU, progress=ignore)
    assert [step for step, _ in report.losses] == [6]
    assert np.isfinite(report.losses[0][1])
    assert [path.name for path in out.parent.iterdir()] == [model_type]
    return load_backbone(model_type, settings.kind, out, CPU)


def test_every_answer_is_one_token_after_a_blank(tokenizer: PreTrainedTokenizerBase, answers: list[str]) -> None:
    for answer in answers:
        ids = tokenizer(f"It is {answer}.", add_special_tokens=False)["input_ids"]
        around = tokenizer("It is.", add_special_tokens=False)["input_ids"]
        assert len(ids) == len(around) + 1
        assert tokenizer.decode([ids[-2]]).strip() == answer


def test_texts_survive_the_tokenizer(tokenizer: PreTrainedTokenizerBase, text: Path) -> None:
    for row in read_texts(text / "facts.jsonl")[:50]:
        ids = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        assert tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids).replace(" ", "") == row["text"].replace(" ", "")


def test_subject_names_have_several_pieces(tokenizer: PreTrainedTokenizerBase, text: Path) -> None:
    subjects = [
        json.loads(line)["sub_label"]
        for path in sorted((text.parent / "lama" / "TREx").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    pieces = [len(tokenizer(f" {name}", add_special_tokens=False)["input_ids"]) for name in subjects]
    assert min(pieces) >= 1
    assert np.mean(pieces) > 2


def test_an_answer_that_cannot_be_one_token_is_refused() -> None:
    with pytest.raises(UserError, match="'New York' is not one token"):
        train_tokenizer("bert", ["It is in New York."], ["New York"], 100)


def corpus_for(tokenizer: PreTrainedTokenizerBase, model_type: str, path: Path) -> Corpus:
    style = ARCHITECTURES[model_type].tokenization
    before, after = ([tokenizer.convert_tokens_to_ids(t)] if t else [] for t in (style.before, style.after))
    return read_corpus(path, tokenizer, before, after)


def test_an_epoch_holds_every_line_once(tokenizer: PreTrainedTokenizerBase, model_type: str, text: Path) -> None:
    corpus = corpus_for(tokenizer, model_type, text / "facts.jsonl")
    width = corpus.longest
    rows = pack_epoch(corpus, width, np.random.default_rng(0), np.arange(len(corpus.first)), sample=0.5)
    padding = np.arange(width) >= rows.lengths[:, None]
    told = sorted(ids[i] for ids, asked in corpus.following for i in np.flatnonzero(asked))
    packed = sorted(rows.ids[rows.answers].tolist())
    # At the start of a paragraph an answer has the same token, because no line begins with its answer.
    assert packed == told
    assert (rows.ids[padding] == corpus.padding).all()
    assert not rows.sampled[padding].any()
    assert rows.sampled.sum() == pytest.approx(0.5 * rows.lengths.sum(), rel=0.1)


def test_answers_stand_at_many_positions(text: Path, answers: list[str]) -> None:
    tokenizer = train_tokenizer("bert", [row["text"] for row in read_texts(text / "facts.jsonl")], answers, 600)
    corpus = corpus_for(tokenizer, "bert", text / "facts.jsonl")
    rows = pack_epoch(corpus, 40, np.random.default_rng(0), np.arange(len(corpus.first)), sample=0.0)
    share = rows.answers.sum(axis=0) / rows.answers.sum()
    assert (share[8:38] > 0.005).all()
    assert share.max() < 0.1


def test_batches_go_on_and_keep_their_size(text: Path, answers: list[str]) -> None:
    tokenizer = train_tokenizer("gpt2", [row["text"] for row in read_texts(text / "facts.jsonl")], answers, 600)
    corpus = corpus_for(tokenizer, "gpt2", text / "facts.jsonl")
    batches = endless_batches(corpus, 64, 500, np.random.default_rng(0), sample=0.0)
    assert {next(batches).ids.shape for _ in range(5)} == {(500, 64)}
    narrow = next(endless_batches(corpus, 8, 100, np.random.default_rng(0), sample=0.0))
    assert narrow.ids.shape == (100 * 8 // corpus.longest, corpus.longest)


def test_documents_come_at_evenly_spread_steps() -> None:
    facts, documents = (Rows(*(np.full(1, i) for _ in range(4))) for i in (0, 1))
    settings = PretrainingSettings(steps=10, documents_share=0.3)
    streams = [iter([facts] * 10), iter([documents] * 10)]
    assert [int(rows.ids[0]) for rows in interleave(streams, [], settings)] == [0, 0, 0, 1, 0, 0, 1, 0, 0, 1]


def test_the_last_steps_have_long_rows_of_facts_and_documents() -> None:
    facts, documents, long_facts, long_documents = (
        [iter([Rows(*(np.full(1, kind) for _ in range(4)))] * 10)] for kind in range(4)
    )
    settings = PretrainingSettings(steps=10, documents_share=0.5, long_rows_share=0.4)
    batches = interleave(facts + documents, long_facts + long_documents, settings)
    assert [int(rows.ids[0]) for rows in batches] == [0, 1, 0, 1, 0, 1, 2, 3, 2, 3]


def test_long_rows_fill_the_positions_with_many_lines_and_no_more_tokens(text: Path, answers: list[str]) -> None:
    tokenizer = train_tokenizer("gpt2", [row["text"] for row in read_texts(text / "facts.jsonl")], answers, 600)
    corpus = corpus_for(tokenizer, "gpt2", text / "facts.jsonl")
    settings = PretrainingSettings(batch_size=96, row_tokens=24)
    (narrow,), (long,) = (streams_of([("facts", corpus)], settings, width, "rows of") for width in (24, 96))
    short, rows = next(narrow), next(long)
    assert short.ids.shape[1] < 40  # the vocabulary of the test splits names, and rows are as wide as the longest line
    assert short.ids.size == rows.ids.size == 96 * 24
    assert rows.ids.shape == (24, 96)
    assert rows.lengths.min() > 60
    assert rows.answers.sum(axis=1).mean() > 3 > short.answers.sum(axis=1).mean()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_only_long_rows_teach_the_positions_beyond_narrow_ones(
    share: float, text: Path, answers: list[str], tmp_path: Path
) -> None:
    """Weight decay alone makes all of an untrained position smaller by the same factor."""
    settings = settings_for("gpt2", steps=6, long_rows_share=share, documents_share=0.0, row_tokens=48)
    assert settings.architecture is not None
    out = tmp_path / "m"
    pretrain(settings, [text / "facts.jsonl"], answers, out, key="k", device=CPU, progress=ignore)
    trained = load_backbone("m", "causal", out, CPU)
    seed = stream_seed("pretraining-0", "initial weights") % 2**32
    tables = [
        model.get_parameter("transformer.wpe.weight").detach()
        for model in (build_model(settings.architecture, trained.tokenizer, seed), trained.model)
    ]
    factors = tables[1] / tables[0]
    narrow = read_corpus(text / "facts.jsonl", trained.tokenizer, [], []).longest
    untrained = bool((factors[max(48, narrow) :].std() < 1e-5).item())
    assert untrained == (share == 0)
    assert factors[:40].std() > 1e-3


def test_learning_rate_rises_holds_and_falls() -> None:
    settings = PretrainingSettings(steps=100, warmup_steps=10)
    shares = [learning_rate_share(step, settings) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9:41] == [1.0] * 32
    assert shares[99] == pytest.approx(1 / 60)
    assert np.all(np.diff(shares[41:]) < 0)


def test_corrupted_answers_are_what_the_decoder_reads_out() -> None:
    ids = np.array([[11, 50, 12, 51, 13], [11, 12, 52, 0, 0]])
    asked = np.array([[0, 1, 0, 1, 0], [0, 0, 1, 0, 0]], dtype=bool)
    inputs, targets = corrupt_answers(Rows(ids, asked, asked, np.array([5, 3])), [90, 91, 92], end=1)
    assert inputs.tolist() == [[11, 90, 12, 91, 13], [11, 12, 90, 0, 0]]
    assert targets.tolist() == [[90, 50, 91, 51, 1], [90, 52, 1, IGNORED, IGNORED]]


@pytest.mark.parametrize(("model_type", "loss_of"), [("bert", masked_loss), ("gpt2", causal_loss)])
def test_losses_equal_those_of_the_library(model_type: str, loss_of: object, text: Path, answers: list[str]) -> None:
    tokenizer = train_tokenizer(model_type, [row["text"] for row in read_texts(text / "facts.jsonl")], answers, 600)
    architecture = settings_for(model_type).architecture
    assert architecture is not None
    model = build_model(architecture, tokenizer, seed=1)
    corpus = corpus_for(tokenizer, model_type, text / "facts.jsonl")
    rows = next(endless_batches(corpus, 32, 8, np.random.default_rng(0), sample=0.3))
    asked = rows.answers if model_type == "bert" else rows.answers | rows.sampled
    ids = torch.from_numpy(rows.ids)
    inputs = ids.masked_fill(torch.from_numpy(asked), tokenizer.mask_token_id) if model_type == "bert" else ids
    attention = torch.from_numpy(np.arange(32) < rows.lengths[:, None]).long()
    asked[:, 0] = False  # nothing comes before a causal text's first token
    labels = ids.masked_fill(~torch.from_numpy(asked), IGNORED)
    expected = model(input_ids=inputs, attention_mask=attention, labels=labels).loss
    torch.testing.assert_close(loss_of(model, tokenizer, rows), expected)  # type: ignore[operator]


def test_saved_backbones_load_offline(backbone: Backbone, model_type: str) -> None:
    assert backbone.model.config.model_type == model_type
    assert backbone.has_lm_head


def test_pretraining_twice_gives_the_same_bytes(text: Path, answers: list[str], tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        settings = settings_for("bert", steps=3, seed=seed)
        pretrain(settings, [text / "facts.jsonl"], answers, tmp_path / name, key="k", device=CPU, progress=ignore)
    digests = [sha256_of_folder(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_loss_falls(text: Path, answers: list[str], tmp_path: Path) -> None:
    settings = settings_for("gpt2", steps=60, learning_rate=1e-2, warmup_steps=5, batch_size=16)
    report = pretrain(settings, [text / "facts.jsonl"], answers, tmp_path / "m", key="k", device=CPU, progress=ignore)
    assert [step for step, _ in report.losses] == [20, 40, 60]
    assert report.losses[-1][1] < report.losses[0][1] - 0.5


def test_a_kind_that_the_type_cannot_be_is_refused(text: Path, answers: list[str], tmp_path: Path) -> None:
    settings = settings_for("bert").model_copy(update={"kind": "causal"})
    with pytest.raises(UserError, match="kind causal does not suit type bert: use masked"):
        pretrain(settings, [text / "facts.jsonl"], answers, tmp_path / "m", key="k", device=CPU, progress=ignore)


def test_a_few_long_lines_have_rows_of_their_own_and_widen_no_others() -> None:
    short, long = ([5, 6, 7, 8], [False, False, True, False]), ([9] * 30, [False] * 29 + [True])
    lines = [short] * 199 + [long]
    corpus = Corpus(lines, lines, [], [1], [2], 0)
    batches = endless_batches(corpus, 12, 8, np.random.default_rng(0), sample=0.0)
    seen = [next(batches) for _ in range(40)]
    wide = [rows for rows in seen if rows.ids.shape[1] > 12]
    assert {rows.ids.shape for rows in seen if rows.ids.shape[1] <= 12} == {(8, 12)}
    assert [rows.ids.shape for rows in wide] == [(1, 32)] * len(wide)
    assert all((rows.ids[0, 1:31] == 9).all() and rows.answers.sum() == 1 for rows in wide)
    assert 1 <= len(wide) <= 3  # an epoch is 14 to 25 batches


def test_prose_is_asked_at_a_sample_of_its_tokens() -> None:
    lines = [([5, 6, 7, 8], [False] * 4)] * 300
    rows = pack_epoch(
        Corpus(lines, lines, [], [], [], 0), 12, np.random.default_rng(0), np.arange(len(lines)), sample=0.15
    )
    assert (rows.answers == rows.sampled).all()
    assert rows.answers.sum() == pytest.approx(0.15 * rows.lengths.sum(), rel=0.2)


def test_a_line_longer_than_the_positions_is_refused(text: Path, answers: list[str], tmp_path: Path) -> None:
    (tmp_path / "long.jsonl").write_text(json.dumps({"text": "It is long. " * 60, "answers": []}) + "\n")
    files = [text / "facts.jsonl", tmp_path / "long.jsonl"]
    with pytest.raises(UserError, match=r"long\.jsonl: its longest line has \d+ tokens, .* has 96 positions; set arch"):
        pretrain(settings_for("bert"), files, answers, tmp_path / "m", key="k", device=CPU, progress=ignore)


def test_a_growing_text_begins_with_few_lines_and_ends_with_all() -> None:
    growth = Growth(first=10, held=10, batches=50)
    assert [growth.lines(batch, 1000) for batch in (0, 10, 30, 50, 80)] == [10, 10, 100, 1000, 1000]
    assert growth.lines(0, 4) == 4  # a text that is shorter than its beginning
    lines = [([5 + i, 5 + i, 5 + i], [False, False, True]) for i in range(1000)]
    corpus = Corpus(lines, lines, [], [], [], 0)
    batches = endless_batches(corpus, 8, 4, np.random.default_rng(0), sample=0.0, growth=growth)
    seen = [set(next(batches).ids.ravel().tolist()) - {0} for _ in range(400)]
    assert len(set().union(*seen[:2])) <= 10 + 8  # beside the ends of other lines
    assert len(set().union(*seen[60:])) > 900
