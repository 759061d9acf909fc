"""What a row asks, by which pools and selectors choose its prompt."""

from dataclasses import replace

import torch

from softprompt.backbones.backbone import Backbone
from softprompt.inputs.batches import Batch, places
from softprompt.inputs.encoding import NO_TOKEN, ORDINARY
from softprompt.prompts.questions import asked_at, mean_embedding, question_tokens


def batch_of_candidates(backbone: Backbone) -> Batch:
    """Row 0 has a candidate of three tokens, row 1 one of a single token; the last place of row 1 is padding."""
    ids = torch.arange(10, 24).view(2, 7)
    if backbone.kind == "masked":
        ids[0, 4:7] = ids[1, 5] = int(backbone.tokenizer.mask_token_id)
    target = torch.tensor([[7, 8, 9], [7, NO_TOKEN, NO_TOKEN]])
    return Batch(
        ids=ids,
        slots=torch.tensor([[ORDINARY, 0, 1, ORDINARY, ORDINARY, ORDINARY, ORDINARY]] * 2),
        attention_mask=torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0]]),
        read_at=torch.tensor([[4, 5, 6], [5, 6, 7]]),
        target=target,
        gold=torch.ones(2, dtype=torch.bool),
        member=torch.zeros(2, dtype=torch.long),
        example=torch.arange(2),
        candidate=torch.zeros(2, dtype=torch.long),
        first=torch.arange(2),
        read=places(target),
    )


def test_the_answer_is_no_part_of_the_question(backbone: Backbone) -> None:
    batch = batch_of_candidates(backbone)
    whole = [0, 3, 4, 5, 6] if backbone.kind == "seq2seq" else [0, 3, 4]  # an encoder never sees the candidate
    own = [whole, [0, 3, 4, 5]]
    assert [torch.nonzero(row)[:, 0].tolist() for row in question_tokens(backbone, batch)] == own
    expected = [backbone.embed(batch.ids[row, places]).mean(dim=0) for row, places in enumerate(own)]
    torch.testing.assert_close(mean_embedding(backbone, batch), torch.stack(expected))


def test_the_question_of_a_sentence_to_be_tagged_is_all_of_it(backbone: Backbone) -> None:
    if backbone.kind == "seq2seq":
        return  # which tags no words
    batch = replace(batch_of_candidates(backbone), ids=torch.arange(10, 24).view(2, 7), tagged=True)
    own = [[0, 3, 4, 5, 6], [0, 3, 4, 5]]
    assert [torch.nonzero(row)[:, 0].tolist() for row in question_tokens(backbone, batch)] == own
    expected = {"causal": [[6], [5]], "masked": [[0], [0]]}[backbone.kind]
    assert asked_at(backbone, batch).tolist() == expected
