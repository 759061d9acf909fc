"""A trained prompt as a PEFT adapter: adapter_config.json, adapter_model.safetensors, a README that says how to ask.

PEFT (https://github.com/huggingface/peft, peft/peft_model.py) puts its virtual tokens in front of the embedded input
and lets positions run on from there. So whatever stands at the beginning of every row, up to the last prompt vector,
can be virtual tokens: the prompt, and before it special tokens such as [CLS], as their embeddings. Vectors between or
behind the words of an example cannot. The files are written by hand; PEFT is not needed.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor

from softprompt.answering import Asked
from softprompt.config import BackboneSettings, Kind
from softprompt.errors import UserError
from softprompt.files import replaced_folder
from softprompt.tasks.task import SLOT, Template
from softprompt.training.encoding import block_lengths, encode_texts, special_tokens
from softprompt.usage.cells import TrainedCell

TASK_TYPES: dict[Kind, str] = {"masked": "FEATURE_EXTRACTION", "causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM"}


@dataclass(frozen=True)
class Adapter:
    """What PEFT needs to know of its kind of prompt, the saved tensor `prompt_embeddings`, and which of the virtual
    tokens are none of the prompt but fixed ones of every row."""

    peft_type: str
    virtual_tokens: int
    tensor: Float[Tensor, "P _"]
    fixed: list[str]
    extra: dict[str, Any]


def export_adapter(chosen: TrainedCell, settings: BackboneSettings, out: Path) -> list[Path]:
    """Write the adapter of a cell to a new folder, whole or not at all.

    Raises UserError where PEFT cannot say what the cell does, and why, or where the folder already holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} is there already; name a folder that is not there yet")
    asked = chosen.trained.first_asked(chosen.task, chosen.cell)
    adapter = _adapter_of(chosen, asked)
    files = {
        "adapter_config.json": _config(chosen, adapter, settings).encode(),
        "adapter_model.safetensors": save({"prompt_embeddings": adapter.tensor.contiguous().cpu()}),
        "README.md": _readme(chosen, adapter, asked).encode(),
    }
    with replaced_folder(out) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    return [out / name for name in files]


def _adapter_of(chosen: TrainedCell, asked: Asked) -> Adapter:
    if chosen.trained.backbone.model is not chosen.backbone.model:
        raise UserError(
            f"{chosen.name()} cannot be exported: the method asks a copy of the backbone with other weights"
        )
    parts = frozenset(name.partition(".")[0] for name in asked.kept)
    if parts not in ADAPTERS:
        raise UserError(f"{chosen.name()} cannot be exported: {_why_not(parts)}; `softprompt predict` asks it")
    return ADAPTERS[parts](chosen, asked)


def _why_not(parts: frozenset[str]) -> str:
    if not parts:
        return "it keeps nothing from training"
    if "model" in parts:
        return "all weights of its backbone are tuned, which makes a model and no adapter"
    if "head" in parts:
        return "its classification head reads one hidden state, which PEFT's prompt adapters do not have"
    return f"PEFT has no adapter for what it keeps ({', '.join(sorted(parts))})"


def _prompt_adapter(chosen: TrainedCell, asked: Asked) -> Adapter:
    backbone = chosen.trained.backbone
    before, _ = around_prompt(asked.template, asked.prompt_length)
    words = [name for name in SLOT.findall(before) if name not in ("prompt", "sep")]
    if words:
        raise UserError(
            f"{chosen.name()} cannot be exported: PEFT puts prompt vectors in front of the input, and template "
            f"{asked.template.id} ({asked.template.text!r}) has some behind {{{words[0]}}}; "
            "`softprompt predict` asks it"
        )
    nothing = pd.DataFrame({name: [""] for name in chosen.task.fields})
    encoded = encode_texts(backbone, asked.template, nothing, asked.prompt_length, backbone.max_tokens)
    slots = encoded.slots[0].to(backbone.device)  # (T,)
    slots = slots[: int((slots == asked.prompt_length - 1).nonzero()[0]) + 1]  # (P',)
    embedded = backbone.embed(encoded.ids[:1, : len(slots)].to(backbone.device))[0]  # (P', D)
    vectors = asked.kept["prompt"][slots.clamp(min=0)].to(embedded.dtype)
    tensor = torch.where((slots >= 0)[:, None], vectors, embedded)
    fixed = backbone.tokenizer.convert_ids_to_tokens(encoded.ids[0, : len(slots)][(slots < 0).cpu()].tolist())
    return Adapter("PROMPT_TUNING", len(slots), tensor, fixed, {"prompt_tuning_init": "RANDOM"})


def around_prompt(template: Template, prompt_length: int) -> tuple[str, str]:
    """The template up to its last block that has any of the prompt's vectors, and the text that follows."""
    pieces = template.text.split("{prompt}")
    filled = sum(length > 0 for length in block_lengths(prompt_length, len(pieces) - 1))
    return "{prompt}".join(pieces[:filled]), re.sub(" +", " ", "".join(pieces[filled:]))


# What a cell keeps -> how PEFT says it. A method that keeps other tensors is one more entry.
ADAPTERS: dict[frozenset[str], Callable[[TrainedCell, Asked], Adapter]] = {frozenset({"prompt"}): _prompt_adapter}


def _config(chosen: TrainedCell, adapter: Adapter, settings: BackboneSettings) -> str:
    model = chosen.backbone.model.config
    content = {
        "base_model_name_or_path": settings.repo or chosen.trained.paths.backbone(chosen.cell.backbone).as_posix(),
        "revision": settings.revision if settings.repo else None,
        "inference_mode": True,
        "peft_type": adapter.peft_type,
        "task_type": TASK_TYPES[chosen.backbone.kind],
        "num_virtual_tokens": adapter.virtual_tokens,
        "token_dim": chosen.backbone.embedding_size,
        "num_transformer_submodules": 1,  # of T5 the encoder alone
        "num_attention_heads": model.num_attention_heads,
        "num_layers": model.num_hidden_layers,
        **adapter.extra,
    }
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _readme(chosen: TrainedCell, adapter: Adapter, asked: Asked) -> str:
    backbone = chosen.backbone
    _, text = around_prompt(asked.template, asked.prompt_length)
    if backbone.kind == "causal":
        text = text.partition("{mask}")[0].rstrip()
    _, after = special_tokens(backbone.tokenizer, backbone.kind)
    return README.format(
        name=chosen.name(),
        prompt=asked.prompt_length,
        before=f"the embeddings of `{' '.join(adapter.fixed)}` and " if adapter.fixed else "",
        text=text,
        after=f", then `{' '.join(backbone.tokenizer.convert_ids_to_tokens(after))}`" if after else "",
        answer=ANSWERS[backbone.kind],
    )


README = """# {name}

A PEFT adapter: `PeftModel.from_pretrained(model, folder)`, where `model` is the base model of adapter_config.json, with
its language-model head. Its virtual tokens are {before}the {prompt} vectors of the prompt.

Ask it with `input_ids` and `attention_mask` of the text that follows them, padded on the right:

- the text `{text}`, its blank in front included, each field in place of its name, tokenised with
  `add_special_tokens=False`{after};
- {answer}
"""
ANSWERS: dict[Kind, str] = {
    "masked": "the answer is read where `{mask}`, the mask token, stands; logits begin with the virtual tokens.",
    "causal": "the answer is the next token, read at the last token of the text.",
    "seq2seq": "`{mask}` is `<extra_id_0>`; the answer is read in the decoder, after its start token and this one.",
}
