"""A model folder as a Backbone: any architecture of transformers' Auto classes whose own logits come out of its three
steps, which a small forward pass shows before anything is trained."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.backbones.backbone import FIRST_SENTINEL, Backbone
from softprompt.backbones.finished import Finished
from softprompt.backbones.forward import in_body, with_fused_activation
from softprompt.backbones.memory import refuse_too_large
from softprompt.backbones.recomputing import layers_of
from softprompt.config import Dtype, Kind, Params
from softprompt.device import choose_device
from softprompt.errors import UserError, reason_of
from softprompt.files import sha256_of_folder
from softprompt.finite import not_finite
from softprompt.paths import Paths

if TYPE_CHECKING:  # importing models takes seconds, which stages without one need not wait for
    from transformers import PreTrainedModel

PROBE_LENGTHS = (4, 3)  # tokens of the rows that the load check compares; the shorter one is padded
LOCAL = {"local_files_only": True, "trust_remote_code": False}  # otherwise the terminal is asked whether to run code


def load_configured(params: Params, name: str, paths: Paths, *, threads: int) -> Backbone:
    """The backbone that params.yaml names, from models/<name>, on the device of `device.type`.

    Sets PyTorch's CPU threads. Raises UserError as `load_backbone` and `choose_device` do, and where the model is
    another than was pretrained.
    """
    settings, device = params.backbones[name], choose_device(params.device, threads=threads)
    Finished(paths.backbone(name), paths.pretraining(name)).refuse_changed()
    backbone = load_backbone(name, settings.kind, paths.backbone(name), device, dtype=settings.dtype)
    return recomputing_backbone(backbone) if settings.gradient_checkpointing else backbone


def load_backbone(name: str, kind: Kind, folder: Path, device: torch.device, *, dtype: Dtype = "float32") -> Backbone:
    """The model and tokenizer of a local folder, frozen, in evaluation mode.

    Raises UserError where the folder, its architecture or its weights cannot serve as a backbone of this kind, or where
    the device has no room for them.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"backbone {name}: {folder / 'config.json'} is missing; run `dvc repro backbone@{name}` first")
    from transformers import AutoTokenizer

    try:
        refuse_too_large(name, folder, device, dtype)
        model, missing_keys = _load_model(name, kind, folder, dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
    except UserError:
        raise
    except Exception as error:  # whatever the libraries stumble over in files that are damaged or do not fit
        reason = reason_of(error)
        raise UserError(f"backbone {name}: {folder} cannot be loaded ({reason}); name a whole model") from error
    _refuse_damaged(name, folder, model, missing_keys)
    model.requires_grad_(False)
    backbone = Backbone(
        name=name,
        kind=kind,
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        revision=sha256_of_folder(folder) + ("" if dtype == "float32" else f"-{dtype}"),
        has_lm_head=not _head_is_fresh(model, missing_keys),
    )
    refuse_unfit(backbone)
    return backbone


def recomputing_backbone(backbone: Backbone) -> Backbone:
    """The same, of which layers keep their inputs only where its weights train. Raises UserError where the architecture
    does not say what its layers are."""
    if not layers_of(backbone.model):
        raise UserError(
            f"backbones.{backbone.name}: models of type {backbone.model.config.model_type!r} do not say what their "
            "layers are; write gradient_checkpointing: false"
        )
    return replace(backbone, recomputes=True)


def _load_model(name: str, kind: Kind, folder: Path, dtype: Dtype) -> tuple["PreTrainedModel", list[str]]:
    """The model, and the names of the weights that its folder lacks."""
    import transformers as library

    loaders = {
        "masked": (library.AutoModelForMaskedLM, library.MODEL_FOR_MASKED_LM_MAPPING),
        "causal": (library.AutoModelForCausalLM, library.MODEL_FOR_CAUSAL_LM_MAPPING),
        "seq2seq": (library.AutoModelForSeq2SeqLM, library.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING),
    }
    try:
        config = with_fused_activation(library.AutoConfig.from_pretrained(folder, **LOCAL))
    except ValueError as error:  # a type that it does not know, or that would run code of the model's own
        raise UserError(f"backbone {name}: {folder / 'config.json'}: {str(error).splitlines()[0]}") from error
    loader, types = loaders[kind]
    if type(config) not in types:
        others = " or ".join(other for other, (_, mapping) in loaders.items() if type(config) in mapping)
        advice = f"write kind: {others}" if others else "name another model"
        raise UserError(
            f"backbones.{name}.kind is {kind}, but transformers has no {kind} language model of type "
            f"{config.model_type!r}; {advice}"
        )
    model, loading = loader.from_pretrained(
        folder, config=config, dtype=getattr(torch, dtype), output_loading_info=True, **LOCAL
    )
    return model, loading["missing_keys"]


def _refuse_damaged(name: str, folder: Path, model: "PreTrainedModel", missing_keys: list[str]) -> None:
    """Raises UserError where weights are no numbers, or the body lacks some, which would be drawn at random."""
    broken = not_finite(model.named_parameters())
    if broken:
        raise UserError(f"backbone {name}: {folder}: the weights {broken} are not finite; name another model")
    lacking = sorted(key for key in missing_keys if in_body(model, key))
    if lacking:
        raise UserError(f"backbone {name}: {folder}: the weights {lacking[0]} are missing; name a whole model")


def refuse_unfit(backbone: Backbone) -> None:
    """Raises UserError where the backbone lacks what its kind needs, or gives other logits than its model by itself."""
    lack = _missing_token(backbone) or _wrong_logits(backbone)
    if lack:
        raise UserError(
            f"backbone {backbone.name}: {backbone.kind} models of type {backbone.model.config.model_type!r} "
            f"do not work here: {lack}; name another model"
        )


def _missing_token(backbone: Backbone) -> str:
    """Which token stands for the answer and is not there, or nothing."""
    tokenizer = backbone.tokenizer
    if backbone.kind == "masked" and tokenizer.mask_token_id is None:
        return "its tokenizer has no mask token"
    if backbone.kind == "seq2seq" and FIRST_SENTINEL not in tokenizer.get_vocab():
        return f"its tokenizer has no {FIRST_SENTINEL}, by which T5 and its kin mark missing words"
    return ""


@torch.no_grad()
def _wrong_logits(backbone: Backbone) -> str:
    """What goes wrong on two short rows of ordinary tokens, or nothing."""
    try:
        ids, mask = probe_rows(backbone)
        ours, own = answer_logits(backbone, ids, mask), library_logits(backbone, ids, mask)
        unpadded = answer_logits(backbone, ids[1:, : PROBE_LENGTHS[1]], mask[1:, : PROBE_LENGTHS[1]])
    except Exception as error:  # whatever an architecture that was never tried stumbles over
        return f"its forward pass from embeddings fails ({reason_of(error)})"
    if not own.isfinite().all():
        return "its logits are not finite"
    tolerance = torch.finfo(backbone.model.dtype).eps ** 0.5 * float(own.abs().max())
    if not float((ours - own).abs().max()) <= tolerance:  # NaN is no agreement
        return "its logits from embeddings differ from those from token ids"
    return "" if float((ours[1:] - unpadded).abs().max()) <= tolerance else "padding changes its logits"


def probe_rows(backbone: Backbone) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask (R, T) of rows that hold no special tokens."""
    special, size = set(backbone.tokenizer.all_special_ids), backbone.vocabulary_size
    ordinary = [i for i in range(min(size, len(backbone.tokenizer))) if i not in special]
    start, longest = len(ordinary) // 2, max(PROBE_LENGTHS)
    ids = torch.tensor([ordinary[start : start + longest], ordinary[start - longest : start]])  # (R, T)
    mask = (torch.arange(longest) < torch.tensor(PROBE_LENGTHS)[:, None]).long()
    return ids.to(backbone.device), mask.to(backbone.device)


def answer_logits(backbone: Backbone, ids: Tensor, mask: Tensor) -> Tensor:
    """The backbone's logits (R, V) at each row's last token, or for a decoder's first answer token."""
    last, unused = mask.sum(dim=1, keepdim=True) - 1, torch.zeros_like(ids[:, :1])
    return backbone.project(backbone.encode(backbone.embed(ids), mask, last, unused)[:, 0])


def library_logits(backbone: Backbone, ids: Tensor, mask: Tensor) -> Tensor:
    """The same by the model's own forward pass from token ids."""
    if backbone.kind == "seq2seq":
        start = [backbone.model.config.decoder_start_token_id, backbone.tokenizer.convert_tokens_to_ids(FIRST_SENTINEL)]
        decoder_ids = torch.tensor([start], device=ids.device).expand(len(ids), -1)
        return backbone.model(input_ids=ids, attention_mask=mask, decoder_input_ids=decoder_ids).logits[:, -1]
    logits = backbone.model(input_ids=ids, attention_mask=mask).logits
    return logits[torch.arange(len(ids), device=ids.device), mask.sum(dim=1) - 1]


def _head_is_fresh(model: "PreTrainedModel", missing_keys: list[str]) -> bool:
    """Whether the vocabulary projection was not in the checkpoint and so is random."""
    return any(not in_body(model, key) for key in missing_keys)
