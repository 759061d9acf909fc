"""One leaf for the parameters of a name: what a fleet computes with, and what members keep of it."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from softprompt.prompts.fleet_lstm import fleet_lstm
from softprompt.prompts.side_by_side import linear, side_by_side, stacked

LENGTHS = (2, 3, 1)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def modules() -> list[nn.ParameterDict]:
    return [nn.ParameterDict({"of": nn.Parameter(drawn(length, length, 2))}) for length in LENGTHS]


def of(members: list[nn.ParameterDict]) -> list[Tensor]:
    return [member["of"] for member in members]


def test_rows_of_a_leaf_are_the_leaf_and_others_are_copies_of_the_same_shape() -> None:
    members = modules()
    apart = {rows: side_by_side([members[row]["of"] for row in rows]).detach() for rows in ((0, 1, 2), (2, 0), (1,))}
    with stacked(members) as (stack,):
        assert side_by_side(of(members)) is stack.leaf
        assert (stack.owners, stack.sizes) == ((0, 1, 2), [4, 6, 2])
        for rows, expected in apart.items():
            assert torch.equal(side_by_side([members[row]["of"] for row in rows]), expected)
    assert [tuple(expected.shape) for expected in apart.values()] == [(3, 3, 2), (2, 2, 2), (1, 3, 2)]


def test_a_parameter_sees_what_moves_its_row_and_keeps_it_afterwards() -> None:
    members = modules()
    before = [one.detach().clone() for one in of(members)]
    with stacked(members) as (stack,), torch.no_grad():
        stack.leaf.add_(1.0)
    for was, one in zip(before, of(members), strict=True):
        assert isinstance(one, nn.Parameter)
        torch.testing.assert_close(one.detach(), was + 1.0)
    again = side_by_side(of(members))
    assert again.grad_fn is not None
    again.sum().backward()  # type: ignore[no-untyped-call]
    assert all(one.grad is not None for one in of(members))


def test_a_gradient_that_goes_past_the_leaf_is_refused() -> None:
    members = modules()
    with stacked(members), pytest.raises(RuntimeError, match=r"parameter \(3, 2\) got .* gather it by side_by_side"):
        of(members)[1].sum().backward()  # type: ignore[no-untyped-call]


def test_what_is_shared_is_one_row_and_gets_the_sum_of_gradients() -> None:
    first, second, third = modules()
    common = first["of"]
    members = [first, second, nn.ParameterDict({"of": common}), third]
    with stacked(members) as (stack,):
        assert tuple(stack.owners) == (0, 1, 3)
        weights = drawn(9, 4, 3, 2)
        (side_by_side(of(members)) * weights).sum().backward()  # type: ignore[no-untyped-call]
        assert stack.leaf.grad is not None
        torch.testing.assert_close(stack.leaf.grad, torch.stack([weights[0] + weights[2], weights[1], weights[3]]))


def test_a_lone_member_and_what_does_not_train_stay_as_they_are() -> None:
    members = modules()
    with stacked(members[:1]) as stacks:
        assert stacks == []
        assert side_by_side(of(members[:1])).data_ptr() == members[0]["of"].data_ptr()
    for member in members:
        member.requires_grad_(requires_grad=False)
    with stacked(members) as stacks:
        assert stacks == []


def gradients(outputs: Tensor, lengths: tuple[int, ...], over: list[Tensor]) -> Iterator[Tensor]:
    weighted = (outputs[row, :length] * drawn(row, length, outputs.shape[2]) for row, length in enumerate(lengths))
    return iter(torch.autograd.grad(sum(one.sum() for one in weighted), over))  # type: ignore[arg-type]


@pytest.mark.parametrize("lengths", [(5, 1, 3), (4, 4, 4), (1, 1, 1)])
@pytest.mark.parametrize("layers", [1, 2])
def test_lstms_side_by_side_have_states_and_gradients_of_pytorchs(layers: int, lengths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    lstms = [nn.LSTM(6, 4, layers, batch_first=True, bidirectional=True).double() for _ in lengths]
    inputs = torch.zeros(len(lengths), max(lengths), 6, dtype=torch.double)
    for row, length in enumerate(lengths):
        inputs[row, :length] = drawn(row, length, 6)
    inputs.requires_grad_()
    apart = torch.zeros(len(lengths), max(lengths), 8, dtype=torch.double)
    for row, (lstm, length) in enumerate(zip(lstms, lengths, strict=True)):
        apart[row, :length] = lstm(inputs[row : row + 1, :length])[0][0]
    names = [name for name, _ in lstms[0].named_parameters()]
    own = gradients(
        apart, lengths, [inputs, *(dict(lstm.named_parameters())[name] for name in names for lstm in lstms)]
    )
    with stacked(lstms) as stacks:
        together = fleet_lstm(lstms, inputs, lengths)
        found = gradients(together, lengths, [inputs, *(stack.leaf for stack in stacks)])
        for row, length in enumerate(lengths):
            torch.testing.assert_close(together[row, :length], apart[row, :length], rtol=0, atol=1e-14)
        torch.testing.assert_close(next(found), next(own), rtol=0, atol=1e-13)
        for of_leaf in found:
            torch.testing.assert_close(of_leaf, torch.stack([next(own) for _ in lengths]), rtol=0, atol=1e-13)


def test_layers_side_by_side_are_each_members_own() -> None:
    torch.manual_seed(0)
    layers, inputs = [nn.Linear(3, 5).double() for _ in range(2)], drawn(0, 2, 4, 3)
    expected = torch.stack([layer(rows) for layer, rows in zip(layers, inputs, strict=True)])
    torch.testing.assert_close(linear(layers, inputs), expected, rtol=0, atol=1e-14)
