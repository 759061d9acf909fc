"""A trained prompt as a PEFT adapter: adapter_config.json, adapter_model.safetensors, a README that says how to ask.

The files are written by hand; PEFT is not needed.
"""

import json
from pathlib import Path

from safetensors.torch import save

from softprompt.config import BackboneSettings, Kind
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import NO_TEMPLATE
from softprompt.files import replaced_folder
from softprompt.inputs.encoding import special_tokens
from softprompt.prompts.adapter import Adapter, around_prompt
from softprompt.tasks.task import Template
from softprompt.usage.adapters import adapter_of
from softprompt.usage.cells import TrainedCell

TASK_TYPES: dict[Kind, str] = {"masked": "FEATURE_EXTRACTION", "causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM"}


def export_adapter(chosen: TrainedCell, settings: BackboneSettings, out: Path) -> list[Path]:
    """Write the adapter of a cell to a new folder, whole or not at all.

    Raises UserError where PEFT cannot say what the cell does, and why, or where the folder already holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} is there already; name a folder that is not there yet")
    templates = chosen.trained.method.templates(chosen.task, chosen.backbone.kind)
    template = next((one for one in templates if one.id in chosen.cell.templates[:1]), NO_TEMPLATE)
    adapter = adapter_of(chosen, template)
    files = {
        "adapter_config.json": _config(chosen, adapter, settings).encode(),
        "adapter_model.safetensors": save({"prompt_embeddings": adapter.tensor.contiguous().cpu()}),
        "README.md": _readme(chosen, adapter, template).encode(),
    }
    with replaced_folder(out) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    return [out / name for name in files]


def _config(chosen: TrainedCell, adapter: Adapter, settings: BackboneSettings) -> str:
    model = chosen.backbone.model.config
    content = {
        "base_model_name_or_path": settings.repo or chosen.trained.paths.backbone(chosen.cell.backbone).as_posix(),
        "revision": settings.revision if settings.repo else None,
        "inference_mode": True,
        "peft_type": adapter.peft_type,
        "task_type": TASK_TYPES[chosen.backbone.kind],
        "num_virtual_tokens": len(adapter.tensor),
        "num_transformer_submodules": 1,  # of T5 the encoder alone
        "num_attention_heads": model.num_attention_heads,
        "num_layers": model.num_hidden_layers,
        **adapter.settings,
    }
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _readme(chosen: TrainedCell, adapter: Adapter, template: Template) -> str:
    backbone = chosen.backbone
    _, text = around_prompt(template, chosen.cell.positions)
    if backbone.kind == "causal":
        text = text.partition("{mask}")[0].rstrip()
    answer = ANSWERS[backbone.kind] if backbone.kind != "seq2seq" or "{mask}" in text else WHOLE_TARGET
    _, after = special_tokens(backbone.tokenizer, backbone.kind)
    return README.format(
        name=chosen.name(),
        what=adapter.what,
        text=text,
        how=adapter.how,
        after=f", then `{' '.join(backbone.tokenizer.convert_ids_to_tokens(after))}`" if after else "",
        answer=answer,
    )


README = """# {name}

A PEFT adapter: `PeftModel.from_pretrained(model, folder)`, where `model` is the base model of adapter_config.json, with
its language-model head. Its virtual tokens are {what}.

Ask it with `input_ids` and `attention_mask` of the text alone, padded on the right:

- the text is `{text}`, each field in place of its name, {how}{after};
- {answer}
"""
ANSWERS: dict[Kind, str] = {
    "masked": "the answer is read where `{mask}`, the mask token, stands; logits begin with the virtual tokens.",
    "causal": "the answer is the next token, read at the last token of the text.",
    "seq2seq": "`{mask}` is `<extra_id_0>`; the answer is read in the decoder, after its start token and this one.",
}
WHOLE_TARGET = "the answer is read in the decoder, after its start token."
