"""Finished fleets on disk: which of two trainings of a member counts."""

import os
from pathlib import Path

from softprompt.experiments.store import FleetRecord, FleetStore, MemberRecord
from softprompt.results import Cost

COST = Cost.model_validate(dict.fromkeys(Cost.model_fields, 1))


def fleet(key: str, **scores: float) -> FleetRecord:
    members = [
        MemberRecord(
            key=job, fleet=key, dev_score=score, best_step=1, failure="", curve=[], parameters_trained=0,
            parameters_kept=0, parts_sha256="", positions=0, cost=COST,
        )
        for job, score in scores.items()
    ]  # fmt: skip
    return FleetRecord(key=key, members=members)


def read_again(folder: Path) -> dict[str, float | None]:
    """Once files are no longer dated in the order in which they were written, as after `dvc pull`."""
    for path in folder.glob("fleets/*.json"):
        os.utime(path, (0, 0) if path.stem == "first" else (1e9, 1e9))
    members = FleetStore(folder).members
    return {job: member.dev_score for job, member in members.items()}


def test_the_latest_training_of_a_member_counts_whatever_the_dates_and_names_of_files(tmp_path: Path) -> None:
    store = FleetStore(tmp_path)
    store.finish(fleet("second", a=0.1, b=0.2), {})
    store.finish(fleet("third", c=0.3), {})
    store.forget("a")
    store.finish(fleet("first", a=0.4), {})
    assert read_again(tmp_path) == {"a": 0.4, "b": 0.2, "c": 0.3}
    again = FleetStore(tmp_path)
    again.finish(fleet("second", a=0.5, b=0.6), {})
    assert read_again(tmp_path) == {"a": 0.5, "b": 0.6, "c": 0.3}


def test_a_fleet_that_was_forgotten_comes_back_as_it_was(tmp_path: Path) -> None:
    store = FleetStore(tmp_path)
    store.finish(fleet("first", a=0.1), {})
    before = (tmp_path / "fleets" / "first.json").read_bytes()
    store.forget_fleet("first")
    store.finish(fleet("first", a=0.1), {})
    assert (tmp_path / "fleets" / "first.json").read_bytes() == before
