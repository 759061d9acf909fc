"""How long a run takes on so many GPUs, against sums and schedules by hand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.profiles import profile_params
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.planning.cluster import ASSUMED_GPU, cluster_time, render_clusters, side_by_side
from softprompt.planning.needs import tokens_of
from softprompt.planning.sizes import model_size
from softprompt.planning.work import plan_work


@pytest.mark.parametrize(
    ("fleets", "gpus", "expected"), [([3, 1, 2], 1, 6), ([3, 1, 2], 2, 3), ([4, 3, 3], 2, 6), ([5], 8, 5), ([], 4, 0)]
)
def test_fleets_side_by_side(fleets: list[float], gpus: int, expected: float) -> None:
    assert side_by_side(fleets, gpus) == expected


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=30), st.integers(1, 16))
def test_no_schedule_is_shorter_than_its_longest_fleet_or_than_all_gpus_at_work(fleets: list[float], gpus: int) -> None:
    least = max(*fleets, sum(fleets) / gpus)
    assert least - 1e-9 <= side_by_side(fleets, gpus) <= (4 / 3) * least + max(fleets)


@pytest.mark.parametrize("profile", ["embedded", "paper"])
def test_one_gpu_takes_the_sum_of_all_member_steps_and_more_take_no_longer(profile: str, tmp_path: Path) -> None:
    params = profile_params(profile)
    work = plan_work(params, Paths(tmp_path))
    boundless = ASSUMED_GPU.__class__("cuda", "", 1e15, 1, ASSUMED_GPU.flops, "")
    expected = 0.0
    for stage in work.train:
        size = model_size(params.backbones[stage.backbone])
        assert size is not None
        for suite, members in stage.members.items():
            rows, tokens = params.chosen_budget.batch_size, tokens_of(suite, params)
            expected += members * stage.steps * size.step_flops(rows, tokens, tuned=stage.state == "tuned")
    times = [cluster_time(params, work, count, boundless) for count in (1, 2, 8, 64)]
    assert times[0].seconds == pytest.approx(expected / ASSUMED_GPU.flops)
    assert [one.seconds for one in times] == sorted((one.seconds for one in times), reverse=True)
    assert times[0].busy_share == pytest.approx(1.0)
    assert all(one.gpu_seconds == pytest.approx(times[0].gpu_seconds) for one in times)
    assert cluster_time(params, work, 1, ASSUMED_GPU).seconds <= times[0].seconds


def test_the_page_has_a_line_for_every_number_and_says_what_it_assumes(tmp_path: Path) -> None:
    params = profile_params("paper")
    work = plan_work(params, Paths(tmp_path))
    lines = render_clusters(params, work, [1, 8, 64], ASSUMED_GPU).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["1", "8", "64"]
    assert "4.0e+13 operations/s (assumed)" in lines[4]
    with pytest.raises(UserError, match="--gpus 0: a plan is for one GPU or more"):
        render_clusters(params, work, [8, 0], ASSUMED_GPU)
