"""The frame cache: what the robot sees, resumable, keyed by content, and clear about bad data."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("pydantic")

from palletjack_detection.preprocess import Preprocessor
from palletjack_sdg.kitti import KittiFormatError
from palletjack_training import kitti_cache
from palletjack_training.box_labels import IGNORED, PADDING
from palletjack_training.config import TrainingConfig, load_config
from palletjack_training.kitti_cache import DatasetError, FrameCache, open_cache
from palletjack_training.model_spec import input_spec


class Interrupted(Exception):
    """Stands for a run that is stopped."""


@dataclass
class Reads:
    """Names of the files that were decoded; the one after ``stop_at`` of them is not."""

    names: list[str] = field(default_factory=list)
    stop_at: int | None = None


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    noted, read = Reads(), kitti_cache.read_image

    def reading(path: Path) -> np.ndarray:
        if noted.stop_at == len(noted.names):
            raise Interrupted
        noted.names.append(path.name)
        return read(path)

    monkeypatch.setattr(kitti_cache, "read_image", reading)
    return noted


@pytest.fixture
def config() -> TrainingConfig:
    return load_config("palletjack_light", ["input.width=192", "input.height=128"])


def opened(folders: list[Path], config: TrainingConfig, cache: Path) -> FrameCache:
    return open_cache(folders, config, cache, workers=1)


def test_frames_are_what_the_robot_feeds_its_network(
    tmp_path: Path, write_frames: Callable, config: TrainingConfig
) -> None:
    """A 4:3 picture is letterboxed; boxes move with it."""
    boxes = write_frames(tmp_path / "set", 1, size=(320, 240))
    cache = opened([tmp_path / "set"], config, tmp_path / "cache")
    image = cv2.cvtColor(cv2.imread(str(tmp_path / "set/images/000000.png")), cv2.COLOR_BGR2RGB)
    tensor, geometry = Preprocessor(input_spec(config))(image)
    frame = cache.gather(np.array([0]))[0]
    np.testing.assert_array_equal(frame, np.rint(tensor[0] * 255).transpose(1, 2, 0))
    np.testing.assert_allclose(cache.boxes[0, 0], geometry.to_network(np.array([boxes[0]]))[0], atol=1e-4)
    x1, y1, x2, y2 = (round(float(v)) for v in cache.boxes[0, 0])
    inside = frame[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].astype(int)
    assert (abs(inside - (230, 40, 30)) <= 1).all(), "RGB order, and the box on the painted rectangle"


def test_sets_follow_each_other(tmp_path: Path, write_frames: Callable, config: TrainingConfig) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        write_frames(tmp_path / name, 3, seed=seed)
    both = opened([tmp_path / "a", tmp_path / "b"], config, tmp_path / "cache")
    second = opened([tmp_path / "b"], config, tmp_path / "cache")
    assert len(both) == 6
    np.testing.assert_array_equal(both.gather(np.array([4, 1]))[0], second.gather(np.array([1]))[0])
    np.testing.assert_array_equal(both.boxes[3:], second.boxes)


def test_a_cut_short_cache_goes_on_where_it_was(
    tmp_path: Path, write_frames: Callable, config: TrainingConfig, reads: Reads
) -> None:
    write_frames(tmp_path / "set", 40)
    reads.stop_at = 35
    with pytest.raises(Interrupted):
        opened([tmp_path / "set"], config, tmp_path / "cache")
    reads.stop_at = None
    reads.names.clear()
    cache = opened([tmp_path / "set"], config, tmp_path / "cache")
    assert len(reads.names) == 8, "the first whole piece of 32 frames is not decoded again"
    fresh = opened([tmp_path / "set"], config, tmp_path / "other")
    every = np.arange(40)
    np.testing.assert_array_equal(cache.gather(every), fresh.gather(every))
    reads.names.clear()
    opened([tmp_path / "set"], config, tmp_path / "cache")
    assert reads.names == []


def test_changed_content_is_decoded_anew(
    tmp_path: Path, write_frames: Callable, config: TrainingConfig
) -> None:
    write_frames(tmp_path / "set", 2)
    before = opened([tmp_path / "set"], config, tmp_path / "cache").gather(np.array([0]))
    cv2.imwrite(str(tmp_path / "set/images/000000.png"), np.zeros((128, 192, 3), np.uint8))
    after = opened([tmp_path / "set"], config, tmp_path / "cache").gather(np.array([0]))
    assert before.max() > 0
    assert after.max() == 0


@pytest.mark.long
def test_several_processes_give_the_same(
    tmp_path: Path, write_frames: Callable, config: TrainingConfig
) -> None:
    write_frames(tmp_path / "set", 70)
    one = open_cache([tmp_path / "set"], config, tmp_path / "one", workers=1)
    two = open_cache([tmp_path / "set"], config, tmp_path / "two", workers=2)
    every = np.arange(70)
    np.testing.assert_array_equal(one.gather(every), two.gather(every))


def test_dont_care_and_tiny_objects_are_ignored(
    tmp_path: Path, write_frames: Callable, config: TrainingConfig
) -> None:
    write_frames(tmp_path / "set", 2)
    (tmp_path / "set/labels/000000.txt").write_text(
        "DontCare -1 -1 -10 5 5 60 60 -1 -1 -1 -1000 -1000 -1000 -10\n"
        "palletjack 0 0 0 100 100 103 140 1 1 1 0 0 5 0\n"
        "palletjack 0.5 0 0 -20 50 30 90 1 1 1 0 0 5 0\n"
        "person 0 0 0 10 10 50 90 1 1 1 0 0 5 0\n"
    )
    known = config.model_copy(update={"background_classes": ("person",)})
    cache = opened([tmp_path / "set"], known, tmp_path / "cache")
    assert cache.labels.tolist() == [[IGNORED, IGNORED, 0], [0, PADDING, PADDING]]
    assert cache.boxes[0, 2].tolist() == [0, 50, 30, 90], "clipped to the image"


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("person 0 0 0 1 1 50 50 1 1 1 0 0 5 0", DatasetError, "one of palletjack, DontCare, found 'person'"),
        ("palletjack 0 0 0 1 1 50 50 1 1 1 0 0 5", KittiFormatError, "expected 15, found 14"),
        ("palletjack 0 0 0 300 1 350 50 1 1 1 0 0 5 0", DatasetError, "inside the 192 x 128 image"),
    ],
)
def test_bad_labels_name_the_file(
    tmp_path: Path,
    write_frames: Callable,
    config: TrainingConfig,
    line: str,
    error: type[Exception],
    says: str,
) -> None:
    write_frames(tmp_path / "set", 2)
    (tmp_path / "set/labels/000001.txt").write_text(line + "\n")
    with pytest.raises(error, match=says) as raised:
        opened([tmp_path / "set"], config, tmp_path / "cache")
    assert "000001.txt" in str(raised.value)


def test_bad_files_are_named(tmp_path: Path, write_frames: Callable, config: TrainingConfig) -> None:
    write_frames(tmp_path / "set", 2)
    image = tmp_path / "set/images/000001.png"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"000001\.png"):
        opened([tmp_path / "set"], config, tmp_path / "cache")
    image.write_bytes(whole)
    (tmp_path / "set/labels/000000.txt").unlink()
    with pytest.raises(DatasetError, match=r"000000\.txt: expected a label file"):
        opened([tmp_path / "set"], config, tmp_path / "cache")
    with pytest.raises(DatasetError, match="expected a folder"):
        opened([tmp_path / "nowhere"], config, tmp_path / "cache")


def test_trainings_that_start_together_decode_each_frame_once(
    tmp_path: Path, write_frames: Callable, config: TrainingConfig, reads: Reads
) -> None:
    """Side by side on four GPUs each would have decoded all, and a new file have emptied the others'."""
    write_frames(tmp_path / "set", 40)
    with ThreadPoolExecutor(3) as pool:
        started = [pool.submit(opened, [tmp_path / "set"], config, tmp_path / "cache") for _ in range(3)]
        caches = [future.result(timeout=60) for future in started]
    assert sorted(reads.names) == sorted({*reads.names})
    assert len(reads.names) == 40
    for cache in caches:
        assert cache.gather(np.arange(40)).max(axis=(1, 2, 3)).min() > 0
