"""Fleets on a real Ray cluster of several nodes, on this machine: workers die, nodes leave and join."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from helpers.light_work import LightBrief, begun, job
from helpers.paths import ROOT
from helpers.trained_stages import bytes_below, make_inputs, run_stage, stage_params, without_spent
from softprompt.errors import UserError
from softprompt.experiments.store import FleetStore

ray = pytest.importorskip("ray", reason="ray is not here: pip install 'softprompt[ray]'")

from ray.cluster_utils import Cluster  # noqa: E402

from softprompt.experiments.executors.on_ray import RayExecutor, places  # noqa: E402

ONE_CORE = {"num_cpus": 1}
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 200, "health_check_failure_threshold": 5}

pytestmark = pytest.mark.xdist_group("ray")  # one worker has the cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without a core for workers. Its processes, and so the workers, find what the tests import."""
    before = dict(os.environ)
    path = [str(ROOT / "src"), str(ROOT / "tests"), *filter(None, [before.get("PYTHONPATH")])]
    os.environ |= {"PYTHONPATH": os.pathsep.join(path), "RAY_USAGE_STATS_ENABLED": "0"}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[Callable[..., Any]]:
    """Adds a node, with a core where nothing else is said. All of them leave with the test."""

    def add(**resources: Any) -> Any:
        return cluster.add_node(**{**ONE_CORE, **resources})

    yield add
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node)


def kill_a_worker_on(nodes: list[Any]) -> None:
    """One that trains, where there is one at this moment."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    children = [child for pid in raylets for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    titles = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    workers = [child for child, title in titles.items() if b"_Worker" in title]
    os.kill(max(workers, key=lambda child: b"train" in titles[child]), signal.SIGKILL)


def test_a_worker_is_killed_and_a_node_leaves_and_nothing_is_lost_or_done_twice(
    cluster: Cluster, nodes: Callable[..., Any], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_inputs(tmp_path, prepared)
    run_stage("prompt_tuning", stage_params(executor="serial"), tmp_path, tmp_path / "serial")
    staying, leaving = nodes(), nodes()
    put, seen = FleetStore.finish, Counter[str]()

    def disturb(store: FleetStore, record: Any, parts: Any) -> None:
        put(store, record, parts)
        seen[record.key] += 1
        if len(seen) == 1:
            kill_a_worker_on([staying, leaving])
        if len(seen) == 3:
            cluster.remove_node(leaving, allow_graceful=False)

    monkeypatch.setattr(FleetStore, "finish", disturb)
    run_stage("prompt_tuning", stage_params(executor="ray", address=cluster.address), tmp_path, tmp_path / "ray")
    expected, found = (without_spent(bytes_below(tmp_path / name / "results")) for name in ("serial", "ray"))
    assert found == expected
    assert set(seen.values()) == {1}
    assert {f"{key}.json" for key in seen} == {Path(name).name for name in expected if "/fleets/" in name}
    assert not ray.is_initialized()


def test_a_fleet_that_every_worker_dies_of_is_told_and_the_others_are_done(
    cluster: Cluster, nodes: Callable[..., Any], tmp_path: Path
) -> None:
    nodes()
    with closing(RayExecutor(LightBrief(tmp_path), ONE_CORE, cluster.address)) as executor:
        trained: Iterator[Any] = executor.train([[job("0 done")], [job("1 killed")], [job("2 done")]], keep=False)
        assert next(trained)[0] == "0 done"
        with pytest.raises(UserError, match=r"3 workers were lost at the same fleet.*what is finished is kept"):
            next(trained)
    assert Counter(number for number, _ in begun(tmp_path)) == {0: 1, 1: 3}


def test_what_a_worker_refuses_is_told_here_in_its_own_words(
    cluster: Cluster, nodes: Callable[..., Any], tmp_path: Path
) -> None:
    nodes()
    executor = RayExecutor(LightBrief(tmp_path), ONE_CORE, cluster.address)
    with closing(executor), pytest.raises(UserError) as told:
        list(executor.train([[job("0 refused")], [job("1 done")]], keep=False))
    assert str(told.value) == "the disk is full"
    assert type(told.value) is UserError
    assert [number for number, _ in begun(tmp_path)] == [0]


def test_gpus_are_shared_and_nodes_that_join_and_leave_are_noticed(
    cluster: Cluster, nodes: Callable[..., Any], tmp_path: Path
) -> None:
    """Half of a GPU each: two workers on one, four with another node, and then two again."""
    leaving, half = nodes(num_gpus=1), {"num_gpus": 0.5, "num_cpus": 0}
    with closing(RayExecutor(LightBrief(tmp_path), half, cluster.address)) as executor:
        found: list[Any] = list(executor.train([[job(f"{number} done 2")] for number in (0, 1)], keep=True))
        nodes(num_gpus=1)
        found += executor.train([[job(f"{number} done 6")] for number in (2, 3, 4, 5)], keep=True)
        cluster.remove_node(leaving, allow_graceful=False)
        found += executor.train([[job("6 done")], [job("7 done")]], keep=True)
    assert sorted(int(key.split()[0]) for key, *_ in found) == list(range(8))
    assert len({process for *_, process, _ in found}) == 4
    assert {(keep, gpu) for _, keep, _, gpu in found} == {(True, "0")}
    times = Counter(number for number, _ in begun(tmp_path))
    assert set(times) == set(range(8))
    assert all(times[number] == 1 for number in range(6))  # 6 and 7 may have begun on the node that was leaving


def test_signals_end_a_stage_as_they_do_without_ray(cluster: Cluster, nodes: Callable[..., Any]) -> None:
    nodes()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with closing(RayExecutor(LightBrief(Path()), ONE_CORE, cluster.address)):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_cluster_without_a_place_is_refused(cluster: Cluster) -> None:
    with pytest.raises(UserError, match=r"no node of the Ray cluster at .* has 0\.5 gpus and 0 cpus for a worker"):
        RayExecutor(LightBrief(Path()), {"num_gpus": 0.5, "num_cpus": 0}, cluster.address)
    assert not ray.is_initialized()


@pytest.mark.parametrize(
    ("address", "reason"), [("127.0.0.1:1", "Connection refused"), ("cluster", "Invalid address format")]
)
def test_an_address_at_which_nobody_answers_is_told_at_once(address: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"no Ray cluster can be reached at {address} .*{reason}"):
        RayExecutor(LightBrief(Path()), ONE_CORE, address)


@pytest.mark.parametrize(
    ("takes", "expected"),
    [
        ({"num_cpus": 1}, 12),
        ({"num_gpus": 1.0, "num_cpus": 0}, 3),
        ({"num_gpus": 0.5, "num_cpus": 0}, 6),
        ({"num_gpus": 0.3, "num_cpus": 0}, 9),
        ({"num_gpus": 0.6, "num_cpus": 0}, 3),
        ({"num_gpus": 2.0, "num_cpus": 0}, 1),
    ],
)
def test_places_of_nodes(takes: dict[str, float], expected: int) -> None:
    there = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 4.0, "GPU": 1.0}, {}]
    nodes = [{"Alive": True, "Resources": resources} for resources in there]
    assert places([*nodes, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}], takes) == expected
