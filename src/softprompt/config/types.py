"""Words that all sections of params.yaml share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["masked", "causal", "seq2seq"]
Suite = Literal["lama", "superglue", "fewglue", "glue", "extra"]
LARGEST = 2**31 - 1  # of whole numbers: what every library and table here can hold
Positive = Annotated[int, Field(ge=1, le=LARGEST)]
Seed = Annotated[int, Field(ge=0, le=LARGEST)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
