"""What every kind of part has to satisfy: restored it acts as it did when it was saved, and in a fleet as alone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

import softprompt.methods  # noqa: F401 - registers every part that a method uses
from softprompt.backbones.backbone import Backbone
from softprompt.experiments.task_loading import load_task_data
from softprompt.inputs.batches import Pool, Split
from softprompt.inputs.task_data import TaskData
from softprompt.prompts.bias import Bias
from softprompt.prompts.head import Head
from softprompt.prompts.label_words import NO_WORD, LabelWords
from softprompt.prompts.mixture import Mixture
from softprompt.prompts.part import PARTS, FleetPart, Part
from softprompt.prompts.pool import PromptPool
from softprompt.prompts.prefix import Prefix
from softprompt.prompts.selector import Selector
from softprompt.prompts.side_by_side import stacked
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.token_prompt import TokenPrompt
from softprompt.prompts.trainable import FleetParts, Trainable, gather, restored
from softprompt.prompts.tuned_weights import TunedWeights
from softprompt.tasks.load import load_task
from softprompt.training.fleet import Fleet

SIZES = (2, 4)  # of the two members: vectors, prefix length, classes, labels or wordings
OF_VECTORS = ("prompt", "tokens", "pool", "selector", "prefix")  # parts that take positions


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def soft_prompt(encoder: str) -> Callable[[Backbone, int], Part]:
    def drawn(backbone: Backbone, size: int) -> Part:
        generator = torch.Generator().manual_seed(size)
        return SoftPrompt.drawn(encoder, size, backbone.word_embeddings(), generator)  # type: ignore[arg-type]

    return drawn


def prefix(*, reparametrised: bool) -> Callable[[Backbone, int], Part]:
    def drawn(backbone: Backbone, size: int) -> Part:
        generator = torch.Generator().manual_seed(size)
        return Prefix.drawn(size, backbone, generator, reparametrised=reparametrised)

    return drawn


def pool_with_query(backbone: Backbone, size: int) -> Part:
    return PromptPool.drawn_with_query(3, size, 9 * backbone.word_embeddings(), torch.Generator().manual_seed(size))


def pool_with_keys(backbone: Backbone, size: int) -> Part:
    generator = torch.Generator().manual_seed(size)
    return PromptPool.drawn_with_keys(3, 2, size, backbone, generator, matching_weight=1.0)


def selector(backbone: Backbone, size: int) -> Part:
    pool = nn.Parameter(normal(size, 3, size, backbone.embedding_size))
    return Selector(pool, normal(size + 1, 3, backbone.embedding_size), normal(size + 2, 3))


def head(backbone: Backbone, size: int) -> Part:
    linear = nn.Linear(backbone.hidden_size, size).double()
    nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(size))
    return Head(linear)


def label_words(backbone: Backbone, size: int) -> Part:  # noqa: ARG001 - any vocabulary has these tokens
    rows = [[20 + n, 30 + n, 40 + n if n % 2 else NO_WORD] for n in range(size)]
    return LabelWords(torch.tensor(rows))


def tuned_weights(backbone: Backbone, size: int) -> Part:
    model = backbone.tuned_copy().model
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(0.1 * normal(size + number, *parameter.shape))
    return TunedWeights(model)


EXAMPLES: dict[str, Callable[[Backbone, int], Part]] = {
    "prompt": soft_prompt("identity"),
    "prompt, LSTM": soft_prompt("lstm"),
    "prompt, MLP": soft_prompt("mlp"),
    "tokens": lambda backbone, size: TokenPrompt.of(torch.arange(50, 50 + size), backbone),
    "prefix": prefix(reparametrised=False),
    "prefix, network": prefix(reparametrised=True),
    "pool, query": pool_with_query,
    "pool, keys": pool_with_keys,
    "selector": selector,
    "head": head,
    "label_words": label_words,
    "bias": lambda backbone, size: Bias(normal(size, int(backbone.model.config.vocab_size))),
    "mixture": lambda _, size: Mixture(normal(size, size)),
    "weights": tuned_weights,
}
IN_A_FLEET = [example for example in EXAMPLES if not PARTS[example.partition(",")[0]].from_backbone]
every_example = pytest.mark.parametrize("example", EXAMPLES)


@pytest.fixture(scope="module", params=["gpt2", "bert"])
def data(request: pytest.FixtureRequest, prepared: Path) -> TaskData:
    backbone: Backbone = request.getfixturevalue(request.param)
    return load_task_data(prepared / "lama", load_task("lama", "P19", prepared), backbone, 128, head=False)


def split_for(part: Part, data: TaskData, size: int) -> Split:
    """Train rows with a slot for each of the part's positions, or in several wordings where these are mixed."""
    template = data.task.templates("plain", data.backbone.kind)[0]
    if part.name == "mixture":
        others = tuple(f"{'and ' * number}{template.text}" for number in range(1, size))
        return data.split("train", template.model_copy(update={"others": others}), 0)
    return data.split("train", template.with_prompt_in_front(), part.positions)


def logits_of(
    trainables: list[Trainable], splits: list[Split], data: TaskData, owners: list[int], rows: list[int]
) -> Tensor:
    """Of some rows of members that share a pass through the backbone."""
    backbone = trainables[0].applied_to(data.backbone)
    fleet = Fleet(backbone, [data.label_space.outputs] * len(trainables))
    batch = Pool(splits, backbone.device).batch(torch.tensor(owners), torch.tensor(rows))
    with torch.no_grad():
        return fleet.read(batch, gather(trainables)).logits


def test_every_part_has_an_example() -> None:
    assert {example.partition(",")[0] for example in EXAMPLES} == set(PARTS)
    assert all("." not in name for name in PARTS)  # a saved name is cut at its first dot


@every_example
def test_what_is_restored_acts_as_what_was_saved(example: str, data: TaskData) -> None:
    for size in SIZES:
        part = EXAMPLES[example](data.backbone, size)
        original, split = Trainable(part), split_for(part, data, size)
        saved = original.saved()
        again = restored(load(save(saved)), data.backbone, original.positions)
        assert [type(one) for one in again.parts()] == [type(part)]
        before, after = (logits_of([one], [split], data, [0] * 3, [0, 1, 2]) for one in (original, again))
        assert before.dtype == after.dtype == torch.double
        torch.testing.assert_close(after, before, rtol=0, atol=1e-12)
        twice = again.saved()
        assert twice.keys() == saved.keys()
        assert all(torch.equal(twice[name], saved[name]) for name in saved)


@every_example
def test_every_part_changes_the_logits(example: str, data: TaskData) -> None:
    part = EXAMPLES[example](data.backbone, SIZES[0])
    split = split_for(part, data, SIZES[0])
    with_part, without = (logits_of([one], [split], data, [0], [0]) for one in (Trainable(part), Trainable()))
    assert with_part.shape != without.shape or not torch.allclose(with_part, without, atol=1e-6)


@pytest.mark.parametrize("example", IN_A_FLEET)
def test_members_side_by_side_give_what_each_gives_alone(example: str, data: TaskData) -> None:
    parts = [EXAMPLES[example](data.backbone, size) for size in SIZES]
    trainables = [Trainable(part) for part in parts]
    splits = [split_for(part, data, size) for part, size in zip(parts, SIZES, strict=True)]
    owners, rows = [1, 0, 1, 0], [0, 1, 2, 3]
    together = logits_of(trainables, splits, data, owners, rows)
    for place, (owner, row) in enumerate(zip(owners, rows, strict=True)):
        (alone,) = logits_of([trainables[owner]], [splits[owner]], data, [0], [row])
        torch.testing.assert_close(together[place, : len(alone)], alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("example", IN_A_FLEET)
def test_members_side_by_side_lead_back_to_the_leaves_of_a_run(example: str, data: TaskData) -> None:
    """With the gradients that members have apart, and none at the padding."""
    parts = [EXAMPLES[example](data.backbone, size) for size in SIZES]
    splits = [split_for(part, data, size) for part, size in zip(parts, SIZES, strict=True)]
    batch = Pool(splits, data.backbone.device).batch(torch.tensor([1, 0, 1, 0]), torch.tensor([0, 1, 2, 3]))

    def loss() -> Tensor:
        fleet = Fleet(data.backbone, [data.label_space.outputs] * len(SIZES))
        reading = fleet.read(batch, gather([Trainable(part) for part in parts]))
        outputs = [part.linear.out_features if isinstance(part, Head) else None for part in parts]
        logits = [row[: outputs[owner]] for row, owner in zip(reading.logits, [1, 0, 1, 0], strict=True)]
        return sum(
            (row.tanh().sum() for row in logits), torch.zeros(()) if reading.extra is None else reading.extra.sum()
        )

    names = [name for name, _ in parts[0].named_parameters()]
    own = [dict(part.named_parameters())[name] for name in names for part in parts]
    apart = iter(torch.autograd.grad(loss(), own) if own else ())
    with stacked(parts) as stacks:
        assert len(stacks) == len(names)
        for of_leaf in torch.autograd.grad(loss(), [stack.leaf for stack in stacks]) if stacks else ():
            for row in of_leaf:
                expected = next(apart)
                torch.testing.assert_close(row[tuple(map(slice, expected.shape))], expected, rtol=0, atol=1e-12)
                assert row.count_nonzero() == expected.count_nonzero()


@every_example
def test_positions_are_those_of_the_vectors_in_slots_or_in_front(example: str, data: TaskData) -> None:
    for size in SIZES:
        part = EXAMPLES[example](data.backbone, size)
        assert part.positions == (size if part.name in OF_VECTORS else 0)
        again = restored(Trainable(part).saved(), data.backbone, part.positions)
        assert again.positions == part.positions
        assert part.positions or not part.word_like_vectors()


@every_example
def test_trained_numbers_are_those_that_get_gradients(example: str, data: TaskData) -> None:
    part = EXAMPLES[example](data.backbone, SIZES[0])
    with_gradient = [one for one in part.parameters() if one.requires_grad]
    assert part.trained_numbers == Trainable(part).trained_numbers == sum(one.numel() for one in with_gradient)
    assert all(not tensor.requires_grad for tensor in part.saved().values())


def test_saved_names_of_all_parts_are_different(bert: Backbone) -> None:
    parts = {part.name: part for part in (make(bert, 2) for make in EXAMPLES.values())}
    everything = Trainable(*parts.values())
    names = [f"{name}.{own}" for name, part in parts.items() for own in part.saved()]
    assert sorted(everything.saved()) == sorted(names)
    assert len(set(names)) == len(names)
    again = restored(everything.saved(), bert, 2)
    assert {part.name for part in again.parts()} == set(PARTS)


class Still(Part):
    """Acts at no hook."""


@pytest.fixture
def still() -> Iterator[Part]:
    PARTS.register("still")(Still)
    yield Still()
    del PARTS["still"]


def test_a_part_that_acts_at_no_hook_changes_nothing(still: Part, data: TaskData) -> None:
    split = split_for(still, data, 1)
    with_part, without = (logits_of([one], [split], data, [0, 0], [0, 1]) for one in (Trainable(still), Trainable()))
    assert torch.equal(with_part, without)
    parts = gather([Trainable(still)])
    assert [type(part) for part in parts.by_name.values()] == [FleetPart]
    batch = Pool([split], data.backbone.device).batch(torch.tensor([0]), torch.tensor([0]))
    assert parts.prefixes(batch) is None
    assert FleetParts().outputs(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long)) is None


def test_a_name_belongs_to_one_part(still: Part) -> None:
    with pytest.raises(ValueError, match=r"part 'still' is registered twice: .*Still"):
        PARTS.register("still")
    with pytest.raises(ValueError, match="two parts of the name 'still'"):
        Trainable(still, Still())
    with pytest.raises(KeyError, match=r"unknown part 'other'; known: bias, head, label_words"):
        restored({"other.tensor": torch.zeros(1)}, None, 0)  # type: ignore[arg-type]
