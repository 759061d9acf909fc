"""A pretrained language model behind three steps that are alike for every architecture: embed, encode, project.

Axes: R rows, T tokens, K tokens of an answer, D word-embedding size, H hidden size, V vocabulary.
"""

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.backbones.attention import Attentions, RowPrefixes, attentions_of, joined, recorded
from softprompt.backbones.memory import refuse_too_large
from softprompt.config import Dtype, Kind
from softprompt.errors import UserError
from softprompt.files import sha256_of_folder

if TYPE_CHECKING:  # importing models takes seconds, which stages without one need not wait for
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# The modules of a masked model that turn hidden states into vocabulary logits; other kinds use the output embeddings.
MASKED_PROJECTIONS: dict[str, tuple[str, ...]] = {
    "bert": ("cls",),
    "roberta": ("lm_head",),
    "albert": ("predictions",),
    "distilbert": ("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),
    "electra": ("generator_predictions", "generator_lm_head"),
}


def project_masked(model: "PreTrainedModel", hidden: Float[Tensor, "... H"]) -> Float[Tensor, "... V"]:
    """Vocabulary logits of a masked model's hidden states."""
    for name in MASKED_PROJECTIONS[model.config.model_type]:
        hidden = getattr(model, name)(hidden)
    return hidden


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
    def embedding_size(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[1])

    @property
    def hidden_size(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def max_tokens(self) -> int:
        """Longest input the positions allow; 512 where positions are relative."""
        if self.kind == "seq2seq":
            return 512
        return int(self.model.config.max_position_embeddings) - self._first_position()

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
        """The word embedding matrix on the CPU, apart from the graph."""
        return _widened(self.model.get_input_embeddings().weight.detach().cpu())

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

        At `read_at`, or in the decoder, which is given the tokens of `answer` that precede the one to be read.
        `prefixes` stand before every attention's keys and values, and take no position.
        """
        embeddings = embeddings.to(self.model.dtype)
        with joined(self.model, prefixes):
            if self.kind == "seq2seq":
                return _widened(self._decode_answer(embeddings, attention_mask, answer))
            positions = torch.arange(embeddings.shape[1], device=embeddings.device) + self._first_position()
            hidden = self.model.base_model(
                inputs_embeds=embeddings,
                attention_mask=attention_mask,
                position_ids=positions.expand(embeddings.shape[0], -1),
            ).last_hidden_state  # (R, T, H)
        rows = torch.arange(len(read_at), device=hidden.device)[:, None]
        places = read_at.clamp(max=hidden.shape[1] - 1)  # those that no answer fills may lie outside
        return _widened(hidden[rows, places])

    def project(self, hidden: Float[Tensor, "M H"]) -> Float[Tensor, "M V"]:
        """Vocabulary logits of hidden states."""
        hidden = hidden.to(self.model.dtype)
        if self.kind == "masked":
            return _widened(project_masked(self.model, hidden))
        if self.kind == "seq2seq" and self.model.config.scale_decoder_outputs:
            hidden = hidden * self.model.config.d_model**-0.5
        return _widened(self.model.get_output_embeddings()(hidden))

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
        """RoBERTa counts positions from its padding index + 1, all others from 0."""
        return int(self.model.config.pad_token_id) + 1 if self.model.config.model_type == "roberta" else 0

    def _decode_answer(
        self, embeddings: Float[Tensor, "R T D"], attention_mask: Int[Tensor, "R T"], answer: Int[Tensor, "R K"]
    ) -> Float[Tensor, "R K H"]:
        """Decoder states after `<start> <extra_id_0>`, where span corruption puts the missing words."""
        start = [self.model.config.decoder_start_token_id, self.tokenizer.convert_tokens_to_ids("<extra_id_0>")]
        opening = torch.tensor([start], device=embeddings.device).expand(embeddings.shape[0], -1)  # (R, 2)
        decoder_ids = torch.cat([opening, answer[:, :-1].clamp(min=0)], dim=1)  # (R, 1 + K)
        encoded = self.model.encoder(inputs_embeds=embeddings, attention_mask=attention_mask).last_hidden_state
        return self.model.decoder(
            input_ids=decoder_ids, encoder_hidden_states=encoded, encoder_attention_mask=attention_mask
        ).last_hidden_state[:, 1:]


def load_backbone(name: str, kind: Kind, folder: Path, device: torch.device, *, dtype: Dtype = "float32") -> Backbone:
    """The model and tokenizer of a local folder, frozen, in evaluation mode.

    Raises UserError where the folder or its architecture cannot serve as a backbone of this kind, or where the device
    has no room for its weights.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"backbone {name}: {folder / 'config.json'} is missing; run `dvc repro backbone@{name}` first")
    refuse_too_large(name, folder, device, dtype)
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
    )

    loaders = {"masked": AutoModelForMaskedLM, "causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    config = with_fused_activation(AutoConfig.from_pretrained(folder, local_files_only=True))
    model, loading = loaders[kind].from_pretrained(
        folder, config=config, local_files_only=True, dtype=getattr(torch, dtype), output_loading_info=True
    )
    model_type = model.config.model_type
    if kind == "masked" and model_type not in MASKED_PROJECTIONS:
        raise UserError(
            f"backbone {name}: masked models of type {model_type!r} are not supported; "
            f"known: {', '.join(sorted(MASKED_PROJECTIONS))}"
        )
    model.requires_grad_(False)
    return Backbone(
        name=name,
        kind=kind,
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        revision=sha256_of_folder(folder) + ("" if dtype == "float32" else f"-{dtype}"),
        has_lm_head=not _head_is_fresh(model, loading["missing_keys"]),
    )


def with_fused_activation(config: "PreTrainedConfig") -> "PreTrainedConfig":
    """GPT-2's `gelu_new` spells out its tanh in eight operations; PyTorch has the same function as one."""
    for name in ("activation_function", "hidden_act"):
        if getattr(config, name, None) == "gelu_new":
            setattr(config, name, "gelu_pytorch_tanh")
    return config


def _widened(tensor: Tensor) -> Tensor:
    """float32 instead of bfloat16: prompts train in float32 on a bfloat16 backbone too."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def _head_is_fresh(model: "PreTrainedModel", missing_keys: list[str]) -> bool:
    """Whether the vocabulary projection was not in the checkpoint and so is random."""
    return any(not key.startswith(model.base_model_prefix) for key in missing_keys)
