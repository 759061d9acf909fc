"""A pretrained language model behind three steps that are alike for every architecture: embed, encode, project.

Axes: R rows, T tokens, K tokens of an answer, D word-embedding size, H hidden size, V vocabulary.
"""

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.backbones.attention import Attentions, RowPrefixes, attentions_of, joined, recorded
from softprompt.backbones.forward import vocabulary_logits
from softprompt.config import Kind

if TYPE_CHECKING:  # importing models takes seconds, which stages without one need not wait for
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FIRST_SENTINEL = "<extra_id_0>"  # stands for the missing words in T5's span corruption
NO_BLANK = -1  # where a seq2seq row has no sentinel: its answer is the whole target
RELATIVE_LIMIT = 512  # tokens of an input where the model counts no positions


@dataclass(frozen=True)
class Backbone:
    """A loaded model in evaluation mode with gradients off. `has_lm_head` is false for a bare encoder.

    Whatever the dtype of its weights, what goes in and comes out is float32 (float64 for a float64 model).
    """

    name: str
    kind: Kind
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    revision: str  # sha256 over the files of its folder, and the dtype where it is not float32
    has_lm_head: bool

    @property
    def vocabulary_size(self) -> int:
        """Rows of the word embedding matrix, which may be more than the tokenizer has tokens."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def embedding_size(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[1])

    @property
    def hidden_size(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def max_tokens(self) -> int:
        """Longest input the positions allow; RELATIVE_LIMIT where positions are relative."""
        positions = getattr(self.model.config, "max_position_embeddings", None)
        return RELATIVE_LIMIT if positions is None else int(positions) - self._first_position()

    @property
    def device(self) -> torch.device:
        return self.model.device

    @cached_property
    def attentions(self) -> Attentions | None:
        """Where prefixes can be joined, found by a pass; None where they cannot."""
        one = torch.ones(1, 1, dtype=torch.long, device=self.device)
        with torch.no_grad(), recorded(self.model) as seen:
            self.encode(self.embed(one), one, one - 1, one)
        return attentions_of(seen)

    def word_embeddings(self) -> Float[Tensor, "V D"]:
        """The embeddings of all words on the CPU, apart from the graph, scaled where the model scales them."""
        with torch.no_grad():
            return self.embed(torch.arange(self.vocabulary_size, device=self.device)).cpu()

    def embed(self, ids: Int[Tensor, "R T"]) -> Float[Tensor, "R T D"]:
        """Word embeddings before positions, token types and normalisation."""
        return _widened(self.model.get_input_embeddings()(ids))

    def encode(
        self,
        embeddings: Float[Tensor, "R T D"],
        attention_mask: Int[Tensor, "R T"],
        read_at: Int[Tensor, "R K"],
        answer: Int[Tensor, "R K"],
        prefixes: RowPrefixes | None = None,
    ) -> Float[Tensor, "R K H"]:
        """The hidden states from which the tokens of each row's answer are read.

        At `read_at`, or in the decoder, which is given the tokens of `answer` that precede the one to be read, behind
        the sentinel that opens its text unless `read_at` is NO_BLANK.
        `prefixes` stand before every attention's keys and values, and take no position. Rows are padded on the right:
        every model then counts their positions from the first token, as it does by itself.
        """
        embeddings = embeddings.to(self.model.dtype)
        with joined(self.model, prefixes):
            if self.kind == "seq2seq":
                return _widened(self._decode_answer(embeddings, attention_mask, read_at, answer))
            hidden = self.model.base_model(
                inputs_embeds=embeddings, attention_mask=attention_mask
            ).last_hidden_state  # (R, T, H)
        rows = torch.arange(len(read_at), device=hidden.device)[:, None]
        places = read_at.clamp(max=hidden.shape[1] - 1)  # those that no answer fills may lie outside
        return _widened(hidden[rows, places])

    def project(self, hidden: Float[Tensor, "M H"]) -> Float[Tensor, "M V"]:
        """Vocabulary logits of hidden states."""
        return _widened(vocabulary_logits(self.model, hidden.to(self.model.dtype)))

    def tuned_copy(self) -> "Backbone":
        """The same backbone with weights of its own that may be trained, in float32 where the frozen ones are not."""
        model = copy.deepcopy(self.model)
        if model.dtype == torch.bfloat16:
            model = model.float()
        model.requires_grad_(True)
        return self.with_model(model)

    def with_model(self, model: "PreTrainedModel") -> "Backbone":
        """The same backbone around other weights."""
        return replace(self, model=model)

    def randomly_initialised(self, seed: int) -> "Backbone":
        """The same architecture with fresh weights, frozen: what a prompt does without pretraining."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = type(self.model)(self.model.config)
        model = model.to(self.device, self.model.dtype).eval()
        model.requires_grad_(False)
        return self.with_model(model)

    def _first_position(self) -> int:
        """RoBERTa and its kin count positions from the padding index of their position table + 1, all others from 0."""
        tables = (module for name, module in self.model.named_modules() if name.endswith("position_embeddings"))
        return next((table.padding_idx + 1 for table in tables if getattr(table, "padding_idx", None) is not None), 0)

    def _decode_answer(
        self,
        embeddings: Float[Tensor, "R T D"],
        attention_mask: Int[Tensor, "R T"],
        read_at: Int[Tensor, "R K"],
        answer: Int[Tensor, "R K"],
    ) -> Float[Tensor, "R K H"]:
        """Decoder states after `<start> <extra_id_0>`, where span corruption puts the missing words, or after `<start>`
        alone, where a text-to-text model puts its answer."""
        start = [self.model.config.decoder_start_token_id, self.tokenizer.convert_tokens_to_ids(FIRST_SENTINEL)]
        opening = torch.tensor([start], device=answer.device).expand(len(answer), -1)  # (R, 2)
        given = answer[:, :-1].clamp(min=0)  # (R, K - 1)
        blank = (read_at[:, :1] != NO_BLANK).long()  # (R, 1)
        behind_sentinel = torch.cat([opening, given], dim=1)  # (R, 1 + K)
        behind_start = torch.cat([opening[:, :1], given, opening[:, :1]], dim=1)  # the last is read by none
        decoder_ids = torch.where(blank == 1, behind_sentinel, behind_start)
        encoded = self.model.get_encoder()(inputs_embeds=embeddings, attention_mask=attention_mask).last_hidden_state
        states = self.model.get_decoder()(
            input_ids=decoder_ids, encoder_hidden_states=encoded, encoder_attention_mask=attention_mask
        ).last_hidden_state  # (R, 1 + K, H)
        rows, tokens = (torch.arange(size, device=answer.device) for size in answer.shape)
        return states[rows[:, None], blank + tokens]


def _widened(tensor: Tensor) -> Tensor:
    """float32 instead of bfloat16: prompts train in float32 on a bfloat16 backbone too."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
