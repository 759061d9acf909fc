"""A member whose loss runs away loses, and the others do not notice."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from working_copy import EVALUATE, TRAIN, Undisturbed, Zygote, before, fleets, set_params, torture_params

pytestmark = pytest.mark.xdist_group("torture")

SOUND, EXPLODING = 0.01, 1e30


def trained_with(rates: list[float], zygote: Zygote, undisturbed: Undisturbed, copy: Path) -> dict[str, Any]:
    """The result of p_tuning, which chooses among learning rates."""
    before(TRAIN, undisturbed.folder, copy)
    params = torture_params()
    section = params["methods"]["p_tuning"]
    section.pop("paper", None)
    section["search"]["learning_rate"] = rates
    set_params(copy, params)
    zygote.finish(copy, [TRAIN])
    return json.loads((copy / TRAIN.outs[0] / "result.json").read_text())


def test_an_exploding_member_never_wins(zygote: Zygote, undisturbed: Undisturbed, tmp_path: Path) -> None:
    result = trained_with([SOUND, EXPLODING], zygote, undisturbed, tmp_path / "copy")
    members = [one for path in fleets(tmp_path / "copy") for one in json.loads(path.read_text())["members"]]
    assert any(member["failure"] for member in members if member["fleet"])
    for cell in result["cells"]:
        chosen = {setting["name"]: setting["chosen"] for setting in cell["searched"]}
        assert (cell["status"], chosen["learning_rate"]) == ("done", SOUND)
        assert math.isfinite(cell["dev_score"])
    zygote.finish(tmp_path / "copy", [EVALUATE])


def test_where_all_explode_the_cells_fail_with_a_reason(
    zygote: Zygote, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    result = trained_with([EXPLODING, 2 * EXPLODING], zygote, undisturbed, tmp_path / "copy")
    assert {cell["status"] for cell in result["cells"]} == {"failed"}
    assert all(cell["reason"] for cell in result["cells"])
    zygote.finish(tmp_path / "copy", [EVALUATE])
