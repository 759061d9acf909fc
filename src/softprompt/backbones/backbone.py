"""A pretrained language model behind three steps that are alike for every architecture: embed, encode, project.

Axes: R rows, T tokens, K tokens of an answer, D word-embedding size, H hidden size, V vocabulary.
"""

import copy
import inspect
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.backbones.attention import Attentions, RowPrefixes, attentions_of, joined, recorded
from softprompt.backbones.dropout import dropping_out
from softprompt.backbones.forward import vocabulary_logits
from softprompt.backbones.recomputing import recomputing
from softprompt.backbones.rounding import with_rounded_products
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
    recomputes: bool = False  # where it trains, layers keep their inputs only

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
        return RELATIVE_LIMIT if positions is None else int(positions) - self._first_position

    @cached_property
    def numbers_positions(self) -> bool:
        """Whether every token is given its position as a number. T5 knows distances only, BLOOM counts by itself."""
        return "position_ids" in self._arguments

    def room_behind(self, prefix: int) -> int:
        """Longest input behind a prefix of that many vectors, which take positions where those are numbered."""
        return self.max_tokens - (prefix if self.numbers_positions else 0)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @cached_property
    def attentions(self) -> Attentions | None:
        """Where prefixes can be joined, found by a pass; None where they cannot."""
        with recorded(self.model) as seen:
            self._encode_one_token()
        return attentions_of(seen)

    @cached_property
    def drops_out(self) -> bool:
        """Whether its body has dropout at a rate above 0, found by a pass. Raises UserError where rows cannot have
        noise of their own."""
        with dropping_out(self.model, torch.zeros(1, dtype=torch.long, device=self.device)) as noise:
            self._encode_one_token()
        return noise is not None and noise.calls > 0

    def word_embeddings(self) -> Float[Tensor, "V D"]:
        """The embeddings of all words on the CPU, apart from the graph, scaled where the model scales them."""
        return self._word_embeddings

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
        noise: Int[Tensor, "R"] | None = None,
    ) -> Float[Tensor, "R K H"]:
        """The hidden states from which the tokens of each row's answer are read.

        At `read_at`, or in the decoder, which is given the tokens of `answer` that precede the one to be read, behind
        the sentinel that opens its text unless `read_at` is NO_BLANK.
        `prefixes` stand before every attention's keys and values; as behind a cache of past keys, the positions of a
        row go on from its own prefix's length, where they are numbered. Rows are padded on the right. `noise` are the
        streams of rows that the body drops out by; without it nothing drops out.
        """
        embeddings = embeddings.to(self.model.dtype)
        ahead = 0 if prefixes is None else prefixes.vectors.shape[1]
        trains = self.recomputes and torch.is_grad_enabled() and next(self.model.parameters()).requires_grad
        with (
            joined(self.model, prefixes),
            dropping_out(self.model, noise, ahead) as row_noise,
            recomputing(self.model, row_noise) if trains else nullcontext(),
        ):
            if self.kind == "seq2seq":
                return _widened(self._decode_answer(embeddings, attention_mask, read_at, answer))
            hidden = self.model.base_model(
                inputs_embeds=embeddings,
                attention_mask=attention_mask,
                **self._positions(attention_mask, prefixes),
                **self._no_cache,
            ).last_hidden_state  # (R, T, H)
        rows = torch.arange(len(read_at), device=hidden.device)[:, None]
        places = read_at.clamp(max=hidden.shape[1] - 1)  # those that no answer fills may lie outside
        return _widened(hidden[rows, places])

    def project(self, hidden: Float[Tensor, "M H"]) -> Float[Tensor, "M V"]:
        """Vocabulary logits of hidden states, in float32 (or wider) whatever the dtype of the weights."""
        return vocabulary_logits(self.model, hidden.to(torch.promote_types(self.model.dtype, torch.float32)))

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

    @cached_property
    def rounded(self) -> "Backbone":
        """As this one under autocast to bfloat16, which then finds the weights of all products rounded already and need
        not round them at every step. Itself where they train. All other weights are shared."""
        if any(parameter.requires_grad for parameter in self.model.parameters()):
            return self
        return self.with_model(with_rounded_products(self.model))

    def randomly_initialised(self, seed: int) -> "Backbone":
        """The same architecture with fresh weights, frozen: what a prompt does without pretraining."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = type(self.model)(self.model.config)
        model = model.to(self.device, self.model.dtype).eval()
        model.requires_grad_(False)
        return self.with_model(model)

    @torch.no_grad()
    def _encode_one_token(self) -> None:
        one = torch.ones(1, 1, dtype=torch.long, device=self.device)
        self.encode(self.embed(one), one, one - 1, one)

    def _positions(
        self, attention_mask: Int[Tensor, "R T"], prefixes: RowPrefixes | None
    ) -> dict[str, Int[Tensor, "R T"]]:
        """Where each token stands, if the model wants to be told. Padding does not move: it could leave the table."""
        if not self.numbers_positions:
            return {}
        places = torch.arange(attention_mask.shape[1], device=attention_mask.device).expand_as(attention_mask)
        if prefixes is not None:
            places = places + prefixes.lengths[prefixes.member][:, None] * attention_mask
        return {"position_ids": self._first_position + places}

    @cached_property
    def _no_cache(self) -> dict[str, bool]:
        """Models that write text would keep their keys and values for more of it, with the graph behind them."""
        return {"use_cache": False} if "use_cache" in self._arguments else {}

    @cached_property
    def _arguments(self) -> set[str]:
        return set(inspect.signature(self.model.base_model.forward).parameters)

    @cached_property
    def _word_embeddings(self) -> Float[Tensor, "V D"]:
        """Copied once: every member of a fleet asks."""
        with torch.no_grad():
            return self.embed(torch.arange(self.vocabulary_size, device=self.device)).cpu()

    @cached_property
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
            input_ids=decoder_ids,
            encoder_hidden_states=encoded,
            encoder_attention_mask=attention_mask,
            use_cache=False,
        ).last_hidden_state  # (R, 1 + K, H)
        rows, tokens = (torch.arange(size, device=answer.device) for size in answer.shape)
        return states[rows[:, None], blank + tokens]


def _widened(tensor: Tensor) -> Tensor:
    """float32 instead of bfloat16: prompts train in float32 on a bfloat16 backbone too."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
