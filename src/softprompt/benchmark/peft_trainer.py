"""The other side of training: PEFT's prompts under the Trainer of transformers, each member by itself."""

import tempfile
from typing import TYPE_CHECKING, Any

import torch

from softprompt.benchmark.clock import Timed, timed_steps
from softprompt.benchmark.fleets import LEARNING_RATE
from softprompt.benchmark.settings import BATCH, Lane, Setting, Texts
from softprompt.prompts.prefix import MIDDLE

if TYPE_CHECKING:  # transformers must find the quiet settings when it is imported
    from peft import PeftConfig
    from transformers import PreTrainedModel

NO_LOSS = -100  # labels that transformers leaves out


def timed_peer(model: "PreTrainedModel", setting: Setting, lane: Lane, steps: int) -> Timed:
    """One member on the rows that ours is trained on, with the same optimiser and batches, in bfloat16 on a GPU."""
    import peft  # noqa: F401 - before the clock runs

    rows = labelled(Texts.drawn(setting.shape, lane.tokens, setting.lanes.index(lane)), setting, lane)
    with tempfile.TemporaryDirectory() as folder:
        return timed_steps(lambda: _train(model, setting, lane, rows, steps, folder), steps, model.device)


def labelled(texts: Texts, setting: Setting, lane: Lane) -> list[dict[str, torch.Tensor]]:
    """As Trainer takes them. A causal model shifts its labels and PEFT adds the prompt's; round a masked one it adds
    none, so they stand in the rows."""
    causal = texts.shape == "gpt2"
    labels = torch.full_like(texts.ids, NO_LOSS)
    labels[:, texts.place] = texts.answers
    if not causal and setting.method != "prefix_tuning":
        labels = torch.nn.functional.pad(labels, (lane.prompt, 0), value=NO_LOSS)
    ids = texts.ids if causal else texts.masked()
    mask = torch.ones_like(ids)
    return [{"input_ids": i, "attention_mask": m, "labels": x} for i, m, x in zip(ids, mask, labels, strict=True)]


def adapter(setting: Setting, lane: Lane) -> "PeftConfig":
    """The configuration that trains what our method trains, network by network."""
    from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig

    common: dict[str, Any] = {
        "task_type": "CAUSAL_LM" if setting.shape == "gpt2" else "FEATURE_EXTRACTION",  # it knows no masked models
        "num_virtual_tokens": lane.prompt,
    }
    if setting.method == "prompt_tuning":
        return PromptTuningConfig(**common)
    if setting.method == "prefix_tuning":
        return PrefixTuningConfig(**common, prefix_projection=True, encoder_hidden_size=MIDDLE)
    lstm = {"encoder_hidden_size": setting.size.hidden_size // 2, "encoder_num_layers": 2, "encoder_dropout": 0.0}
    return PromptEncoderConfig(**common, encoder_reparameterization_type="LSTM", **lstm)


def _train(
    model: "PreTrainedModel", setting: Setting, lane: Lane, rows: list[dict[str, torch.Tensor]], steps: int, folder: str
) -> None:
    from peft import get_peft_model
    from transformers import PrinterCallback, Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        max_steps=steps,
        learning_rate=LEARNING_RATE,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=model.device.type == "cpu",
        bf16=model.device.type == "cuda",
    )
    trainer = Trainer(model=get_peft_model(model, adapter(setting, lane)), args=arguments, train_dataset=rows)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
