"""Finished fleets on disk: the unit of work and of resuming.

`fleets/<fleet key>.json` holds the records of a fleet's members and is written last, so that a fleet is finished or
was never there; `parts/` holds what cells keep (saved_parts.py).
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from softprompt.experiments.saved_parts import SavedParts
from softprompt.records import Record, SealedRecord, write_record
from softprompt.results import Cost, CurvePoint


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
    parts_sha256: str  # "" where nothing was saved
    positions: int  # of the input, that its parts take
    cost: Cost


class FleetRecord(SealedRecord):
    """All members of one finished fleet. `generation` is higher than that of any fleet before that trained one of
    them."""

    key: str
    generation: int = 0
    members: list[MemberRecord]

    @property
    def by_job(self) -> dict[str, MemberRecord]:
        """The members by their keys."""
        return {member.key: member for member in self.members}


class FleetStore:
    """The fleets of one journal. Records of earlier settings stay, of the parts only those of winners. Where one was
    trained again, the latest generation counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = SavedParts(folder / "parts")
        self.fleets: dict[str, FleetRecord] = {}
        self.members: dict[str, MemberRecord] = {}
        for fleet in sorted(_fleets_in(folder), key=lambda fleet: fleet.generation):
            self._remember(fleet)

    def __contains__(self, job_key: str) -> bool:
        return job_key in self.members

    def __getitem__(self, job_key: str) -> MemberRecord:
        return self.members[job_key]

    def lacks_parts(self, job_key: str) -> bool:
        """Whether what a finished member kept is not on disk, or not as it was saved."""
        member = self.members[job_key]
        return member.parameters_kept > 0 and not self.parts.holds(job_key, member.parts_sha256)

    def finish(self, fleet: FleetRecord, parts: Mapping[str, bytes]) -> None:
        """Put a trained fleet on disk: by job what its members keep, then its record."""
        for job_key, content in parts.items():
            self.parts.write(job_key, content)
        numbered = fleet.model_copy(update={"generation": self._generation(fleet)})
        write_record(self._path(fleet.key), numbered)
        self._remember(numbered)

    def forget(self, job_key: str) -> None:
        """Take a member for unfinished, though its record may be on disk."""
        self.members.pop(job_key, None)

    def forget_fleet(self, key: str) -> None:
        """Take a fleet for unfinished, all of it: some of its members alone would make a batch of another shape."""
        self._path(key).unlink(missing_ok=True)
        self.fleets.pop(key, None)
        self.members = {job: member for job, member in self.members.items() if member.fleet != key}

    def _remember(self, fleet: FleetRecord) -> None:
        self.fleets[fleet.key] = fleet
        self.members |= fleet.by_job

    def _generation(self, fleet: FleetRecord) -> int:
        before = [one for one in self.fleets.values() if one.key != fleet.key and one.by_job.keys() & fleet.by_job]
        return max((one.generation + 1 for one in before), default=0)

    def _path(self, key: str) -> Path:
        return self.folder / "fleets" / f"{key}.json"


def _fleets_in(folder: Path) -> Iterator[FleetRecord]:
    for path in sorted((folder / "fleets").glob("*.json")):
        with suppress(OSError, ValueError):  # damaged, edited or of an older version: its members are trained anew
            yield FleetRecord.read(path)
