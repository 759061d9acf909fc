"""Fleets are planned from all jobs: every job once, none too large, rows of like length together."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from softprompt.experiments.jobs import Job, content_key, plan_fleets


def job(index: int, tokens: int, reading: str = "label words") -> Job:
    settings = {"learning_rate": 0.1, "prompt_length": 3}
    return Job(str(index), "", "lama/P19", seed=0, settings=settings, tokens=tokens, reading=reading)


@given(st.lists(st.integers(1, 100), max_size=60), st.integers(1, 16))
def test_every_job_is_in_one_fleet_of_about_the_same_size(tokens: list[int], members: int) -> None:
    jobs = [job(index, length) for index, length in enumerate(tokens)]
    fleets = plan_fleets(jobs, lambda _: members)
    assert sorted(j.key for fleet in fleets for j in fleet) == sorted(j.key for j in jobs)
    sizes = [len(fleet) for fleet in fleets]
    assert max(sizes, default=0) <= members
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    lengths = [j.tokens for fleet in fleets for j in fleet]
    assert lengths == sorted(lengths, reverse=True)


def test_answers_that_are_read_differently_never_share_a_fleet() -> None:
    jobs = [job(index, 10 + index, reading) for index, reading in enumerate(["label words", "candidates words"] * 3)]
    fleets = plan_fleets(jobs, lambda _: 16)
    assert [{j.reading for j in fleet} for fleet in fleets] == [{"candidates words"}, {"label words"}]
    assert plan_fleets([], lambda _: 16) == []


def test_a_fleet_has_one_value_of_every_setting_that_is_not_a_members_own() -> None:
    jobs = [
        replace(job(index, 10), settings={"learning_rate": 0.1 * index, "pool_size": size, "prompt_length": index})
        for index, size in enumerate([2, 4, 2, 4, 4])
    ]
    fleets = plan_fleets(jobs, lambda _: 16)
    assert [[j.settings["pool_size"] for j in fleet] for fleet in fleets] == [[2, 2], [4, 4, 4]]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 100)), max_size=12), st.integers(1, 16))
def test_a_group_of_jobs_is_never_torn(groups: list[tuple[int, int]], members: int) -> None:
    """Nor put into a fleet with others that it does not fit into."""
    jobs = [
        replace(job(100 * number + place, tokens + place), group=f"group {number}")
        for number, (size, tokens) in enumerate(groups)
        for place in range(size)
    ]
    fleets = plan_fleets(jobs, lambda _: members)
    assert sorted(j.key for fleet in fleets for j in fleet) == sorted(j.key for j in jobs)
    for number, (size, _) in enumerate(groups):
        (home,) = {i for i, fleet in enumerate(fleets) for j in fleet if j.group == f"group {number}"}
        assert len(fleets[home]) <= members or len(fleets[home]) == size


def test_a_group_is_one_fleet_however_its_jobs_are_read() -> None:
    readings = ("label words", "tagging head", "candidates words")
    jobs = [replace(job(number, 10, reading), group="all") for number, reading in enumerate(readings)]
    assert [{j.reading for j in fleet} for fleet in plan_fleets(jobs, lambda _: 16)] == [set(readings)]


def test_equal_jobs_train_once() -> None:
    assert plan_fleets([job(1, 5), job(1, 5)], lambda _: 4) == [[job(1, 5)]]


def test_content_keys_follow_content_not_the_order_of_keys() -> None:
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1}) != content_key({"a": 1, "b": 3})
