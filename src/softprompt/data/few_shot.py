"""Other few-shot splits than FewGLUE's own, to see how much a score hangs on which 32 examples were drawn."""

import pandas as pd

from softprompt.data.splits import unit_of
from softprompt.errors import UserError
from softprompt.seeding import numpy_generator
from softprompt.tasks.data_section import DataSection

SHOTS = 32  # units of train, and as many of dev; a unit is an example, of MultiRC a question with all its answers


def draw_few_shot(train: pd.DataFrame, data: DataSection, seed: int) -> dict[str, pd.DataFrame]:
    """Train and dev of 32 examples each, drawn from SuperGLUE's train file without replacement.

    Not stratified: labels are left to chance, as FewGLUE's were (Schick and Schütze 2021, section 4); LM-BFF takes the
    same number of every label instead. WSC differs from FewGLUE's 32, which are all positive. Raises UserError where
    the file holds too few.
    """
    unit = unit_of(train["id"], data)
    names = unit.drop_duplicates().to_numpy()
    if len(names) < 2 * SHOTS:
        raise UserError(
            f"suites.fewglue.split_seed = {seed}: SuperGLUE's train file of {data.name} has {len(names)} examples; "
            f"expected at least {2 * SHOTS}; set split_seed: null"
        )
    drawn = numpy_generator(f"fewglue/{data.name}/{seed}", "few-shot split").permutation(names)
    chosen = {"train": drawn[:SHOTS], "dev": drawn[SHOTS : 2 * SHOTS]}
    return {split: train[unit.isin(units)].reset_index(drop=True) for split, units in chosen.items()}
