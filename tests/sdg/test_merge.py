"""Shards and their merge: the bytes of an unbroken run, and nothing mixed that does not belong together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.sdg.recipes import small_frames

from palletjack_sdg import generate as generate_module
from palletjack_sdg import merge_datasets as merge_module
from palletjack_sdg.dataset import DatasetError, read_manifest
from palletjack_sdg.generate import GenerateJob, generate
from palletjack_sdg.merge_datasets import merge_datasets
from palletjack_sdg.render import RenderResult
from palletjack_sdg.scene import Scene


class NoiseRenderer:
    """Stands in for the path tracer: noise of the frame's own seed."""

    description: dict[str, object] = {"engine": "noise"}  # noqa: RUF012

    def render(self, scene: Scene, seed: int = 0) -> RenderResult:
        size = (scene.camera.height, scene.camera.width)
        linear = np.random.default_rng(seed).uniform(0.1, 0.3, (*size, 3)).astype(np.float32)
        return RenderResult(linear, np.zeros(size, np.int32), np.full(size, 5.0, np.float32))


@pytest.fixture(autouse=True, scope="module")
def _no_path_tracer() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate_module, "create_renderer", lambda settings: NoiseRenderer())
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GenerateJob:
    """An unbroken run in ``whole`` and, beside it, the same in two shards. Tests change copies only."""
    folder = tmp_path_factory.mktemp("made")
    tree = small_frames()
    tree["image"]["sizes"] = [{"width": 96, "height": 64, "weight": 1.0}]
    recipe = folder / "small.yaml"
    recipe.write_text(yaml.safe_dump(tree))
    whole = GenerateJob(str(recipe), folder / "whole", 4, seed=4, annotations=True, masks=True)
    generate(whole)
    for number, frames in ((1, (0, 2)), (2, (1, 3))):
        shard = replace(whole, out=folder / f"shard{number}", shard=(number, 2))
        assert generate(shard).written == frames
    return whole


@pytest.fixture
def job(made: GenerateJob, tmp_path: Path) -> GenerateJob:
    """The job with copies of its outputs: ``whole``, ``shard1`` and ``shard2`` in the test's own folder."""
    for name in ("whole", "shard1", "shard2"):
        shutil.copytree(made.out.with_name(name), tmp_path / name)
    return replace(made, out=tmp_path / "whole")


def content(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "dataset.json"]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def shards_of(job: GenerateJob) -> list[Path]:
    return [job.out.with_name(f"shard{number}") for number in (1, 2)]


@pytest.mark.parametrize("link", [True, False])
def test_merged_shards_are_the_unbroken_run(job: GenerateJob, tmp_path: Path, link: bool) -> None:
    shards = shards_of(job)
    summary = merge_datasets(shards, tmp_path / "merged", link)
    assert (summary.frames, summary.shared, summary.differing_versions) == (4, 0, ())
    assert content(tmp_path / "merged") == content(job.out)
    assert read_manifest(tmp_path / "merged") == read_manifest(job.out)
    linked = (tmp_path / "merged" / "images" / "000000.jpg").samefile(shards[0] / "images" / "000000.jpg")
    assert linked == link
    # It can be continued like any other data set.
    assert generate(replace(job, out=tmp_path / "merged", frames=5)).written == (4,)


def test_a_stopped_merge_shows_nothing_and_goes_on(
    job: GenerateJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = shards_of(job)

    def stop(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_datasets(shards, tmp_path / "merged", on_file=stop)
    assert not (tmp_path / "merged").exists()
    placed: list[Path] = []
    link = merge_module.os.link
    monkeypatch.setattr(merge_module.os, "link", lambda a, b: (placed.append(b), link(a, b)))
    merge_datasets(shards, tmp_path / "merged")
    expected = {**content(shards[0]), **content(shards[1])}
    assert content(tmp_path / "merged") == expected
    assert len(placed) == len(expected) - 7
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_what_does_not_belong_together_is_refused(job: GenerateJob, tmp_path: Path) -> None:
    first, second = shards_of(job)
    other = replace(job, out=tmp_path / "other", seed=5, frames=1)
    generate(other)
    with pytest.raises(DatasetError, match=r"other/dataset.json: seed: expected 4 .* found 5"):
        merge_datasets([first, other.out], tmp_path / "merged")
    twin = tmp_path / "twin"
    shutil.copytree(first, twin)
    assert merge_datasets([first, twin], tmp_path / "same").shared == 2
    (twin / "images" / "000002.jpg").write_bytes(b"another")
    with pytest.raises(DatasetError, match=r"twin/images/000002.jpg: expected the bytes of"):
        merge_datasets([first, twin], tmp_path / "merged")
    (second / "annotations" / "000003.json").unlink()
    with pytest.raises(DatasetError, match=r"annotations: expected a file of frame 000003"):
        merge_datasets([first, second], tmp_path / "merged")
    with pytest.raises(DatasetError, match="expected a new or empty folder"):
        merge_datasets([first], tmp_path / "same")
    with pytest.raises(DatasetError, match=r"nothing/dataset.json: expected a data set's manifest"):
        merge_datasets([tmp_path / "nothing"], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_shard_out_of_range_is_refused(job: GenerateJob) -> None:
    with pytest.raises(ValueError, match=r"shard: expected K/N with 1 <= K <= N, found 3/2"):
        replace(job, shard=(3, 2))
