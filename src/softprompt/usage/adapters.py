"""What a cell saved from training as a PEFT adapter. The form is the part's own; a refusal names the cell."""

from softprompt.errors import UserError
from softprompt.prompts.adapter import Adapter
from softprompt.tasks.task import Template
from softprompt.usage.cells import TrainedCell


def adapter_of(chosen: TrainedCell, template: Template) -> Adapter:
    """Raises UserError that says why, where PEFT has no form for it."""
    if chosen.trained.backbone.model is not chosen.backbone.model:
        raise refusal(chosen, "the method asks a copy of the backbone with other weights")
    parts = list(chosen.trained.loaded(chosen.cell).parts())
    if not parts:
        raise refusal(chosen, "it keeps nothing from training")
    adapters = []
    for part in sorted(parts, key=lambda one: not one.from_backbone):  # tuned weights are the first reason
        try:
            adapters.append(part.adapter(chosen.backbone, template))
        except UserError as error:
            raise refusal(chosen, str(error)) from None
    if len(adapters) > 1:
        names = ", ".join(sorted(part.name for part in parts))
        raise refusal(chosen, f"PEFT has no adapter for what it keeps ({names})")
    return adapters[0]


def refusal(chosen: TrainedCell, reason: str) -> UserError:
    return UserError(f"{chosen.name()} cannot be exported: {reason}; `softprompt predict` asks it")
