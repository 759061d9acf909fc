"""Finished fleets on disk: the unit of work and of resuming.

`fleets/<fleet key>.json` holds the records of a fleet's members and is written last, so that a fleet is finished or
was never there; `parts/<job key>.safetensors` holds the parts that a cell saves.
"""

from contextlib import suppress
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from softprompt.files import write_atomically
from softprompt.results import Cost, CurvePoint, Record, write_record


class MemberRecord(Record):
    """What became of one job."""

    key: str
    fleet: str
    dev_score: float | None  # None where training failed
    best_step: int | None
    failure: str
    curve: list[CurvePoint]
    parameters_trained: int
    parameters_kept: int
    positions: int  # of the input, that its parts take
    cost: Cost


class FleetRecord(Record):
    """All members of one finished fleet."""

    key: str
    members: list[MemberRecord]


class FleetStore:
    """The fleets below one train folder. Records of earlier settings stay, of the parts only those of winners. Where a
    winner was trained again, the latest record counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.members: dict[str, MemberRecord] = {}
        for path in sorted((folder / "fleets").glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
            with suppress(ValueError):  # one of an older version, whose members are trained anew
                self.remember(FleetRecord.model_validate_json(path.read_bytes()))

    def __contains__(self, job_key: str) -> bool:
        return job_key in self.members

    def __getitem__(self, job_key: str) -> MemberRecord:
        return self.members[job_key]

    def parts_path(self, job_key: str) -> Path:
        return self.folder / "parts" / f"{job_key}.safetensors"

    def save_parts(self, job_key: str, saved: dict[str, Tensor]) -> None:
        tensors = {name: tensor.contiguous().cpu() for name, tensor in saved.items()}
        write_atomically(self.parts_path(job_key), save(tensors))

    def load_parts(self, job_key: str) -> dict[str, Tensor]:
        return load_file(self.parts_path(job_key)) if self.parts_path(job_key).is_file() else {}

    def has_parts(self, job_key: str) -> bool:
        return self.parts_path(job_key).is_file()

    def drop_parts(self, job_key: str) -> None:
        """Of a trial that is not the best of its study. Its record stays."""
        self.parts_path(job_key).unlink(missing_ok=True)

    def finish(self, fleet: FleetRecord) -> None:
        """Call after every member's `save_parts`."""
        write_record(self.folder / "fleets" / f"{fleet.key}.json", fleet)

    def forget(self, job_key: str) -> None:
        """Take a member for unfinished, though its record may be on disk."""
        self.members.pop(job_key, None)

    def remember(self, fleet: FleetRecord) -> None:
        """Know of a fleet that is on disk."""
        self.members |= {member.key: member for member in fleet.members}
