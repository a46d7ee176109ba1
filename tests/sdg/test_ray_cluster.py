"""Generation on a Ray cluster of two nodes on this machine: the bytes of a local run, whatever is lost."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from tests.sdg.recipes import small_frames
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_sdg.dataset import read_manifest
from palletjack_sdg.generate import FrameReport, GenerateJob, generate
from palletjack_sdg.render import RenderError, RenderSettings, create_renderer, denoise

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="ray is not installed: pip install 'palletjack[cluster]'")
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without processors, and two nodes with one each."""
    # With gRPC's own handlers of fork() the head's client server dies as it starts (gRPC 1.85, Ray 2.60).
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_DEDUP_LOGS="0", GRPC_ENABLE_FORK_SUPPORT="0")
    from ray.cluster_utils import Cluster

    head = {**NODE, "num_cpus": 0, "include_dashboard": False, "ray_client_server_port": free_port()}
    built = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            built.add_node(**NODE)
        yield built
    finally:
        built.shutdown()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> GenerateJob:
    """Six small frames with every kind of file, made here."""
    folder = tmp_path_factory.mktemp("ray")
    recipe = folder / "small.yaml"
    recipe.write_text(yaml.safe_dump(small_frames()))
    settings = RenderSettings(spp=1, max_depth=3, denoise=denoise.is_available(), variant="cpu")
    try:
        create_renderer(settings)
    except RenderError as error:
        pytest.skip(str(error))
    wanted = GenerateJob(
        str(recipe), folder / "here", 6, 11, render=settings, plans=True, annotations=True, masks=True
    )
    generate(wanted)
    return wanted


def content(job: GenerateJob) -> dict[str, str]:
    files = [path for path in job.out.rglob("*") if path.is_file() and path != job.dataset.manifest]
    return {str(path.relative_to(job.out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def actors() -> list[psutil.Process]:
    """The worker processes of the cluster that this process started."""
    below = psutil.Process().children(recursive=True)
    return [process for process in below if "FrameActor" in " ".join(process.cmdline())]


@needs_ray
@pytest.mark.render
@pytest.mark.long
def test_two_nodes_give_the_bytes_of_a_local_run_and_go_on_where_they_stopped(
    cluster: Any, job: GenerateJob, tmp_path: Path
) -> None:
    there = replace(job, out=tmp_path / "there", ray=cluster.address, workers=0)
    seen: set[int] = set()
    first = generate(replace(there, frames=2), lambda report: seen.update(item.pid for item in actors()))
    assert (first.written, first.failed, first.stopped) == ((0, 1), {}, None)
    assert len(seen) == 2, "one worker on each node"
    arguments = ["generate", "--recipe", job.recipe, "--frames", "6", "--seed", "11", "--spp", "1"]
    arguments += ["--max-depth", "3", "--variant", "cpu", "--plans", "--annotations", "--masks"]
    arguments += [] if job.render.denoise else ["--no-denoise"]
    result = CliRunner().invoke(app, [*arguments, "--ray", cluster.address, "--out", str(there.out)])
    assert result.exit_code == 0, result.output
    assert "4 frames written, 2 there before, 0 failed" in result.output
    assert content(there) == content(job)
    assert generate(replace(there, ray=None, workers=1)).skipped == 6, "it is also continued here"
    ours, theirs = (read_manifest(folder) for folder in (job.out, there.out))
    for manifest in (ours, theirs):
        manifest["renderer"]["settings"].pop("threads")
    assert theirs == ours


@needs_ray
@pytest.mark.render
@pytest.mark.long
def test_a_machine_outside_the_cluster_is_a_client_of_it(
    cluster: Any, job: GenerateJob, tmp_path: Path
) -> None:
    address = f"ray://127.0.0.1:{cluster.head_node._ray_params.ray_client_server_port}"
    there = replace(job, out=tmp_path / "client", ray=address, workers=0)
    killed: list[int] = []

    def kill_one(report: FrameReport) -> None:
        if not killed:
            assert len(actors()) == 2, "one worker on each node"
            killed.append(actors()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    summary = generate(there, kill_one)
    assert killed
    assert (summary.written, summary.failed, summary.stopped) == (tuple(range(6)), {}, None)
    assert content(there) == content(job)


@needs_ray
@pytest.mark.render
@pytest.mark.long
def test_a_lost_worker_and_a_lost_node_cost_no_frame(cluster: Any, job: GenerateJob, tmp_path: Path) -> None:
    there = replace(job, out=tmp_path / "lossy", ray=cluster.address, workers=2)
    lost: list[str] = []

    def lose(report: FrameReport) -> None:
        if not lost:
            process = actors()[0]
            os.kill(process.pid, signal.SIGKILL)
            lost.append("worker")
        elif len(lost) == 1:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            lost.append("node")

    summary = generate(there, lose)
    assert lost == ["worker", "node"]
    assert (summary.written, summary.failed, summary.stopped) == (tuple(range(6)), {}, None)
    assert content(there) == content(job)


@pytest.mark.skipif(HAS_RAY, reason="ray is installed")
def test_without_ray_the_command_says_what_to_install(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["generate", "--ray", "auto", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "--ray needs the package ray: install 'palletjack[cluster]'" in result.output


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_an_address_without_a_cluster_is_named_at_once(address: str, tmp_path: Path) -> None:
    start = time.monotonic()
    result = CliRunner().invoke(
        app, ["generate", "--ray", address, "--frames", "1", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert f"--ray {address}: expected a Ray cluster" in result.output
    assert time.monotonic() - start < 20.0
