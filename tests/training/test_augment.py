"""Boxes must follow the pixels: rectangles are painted, augmented and found again."""

from __future__ import annotations

import io
import math

import cv2
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from palletjack_training.augment import draw_maps, mosaic, warp_boxes, warp_frames  # noqa: E402
from palletjack_training.augment_colour import change_colours, cut_out  # noqa: E402
from palletjack_training.augment_config import ColourAugmentation, GeometryAugmentation  # noqa: E402
from palletjack_training.box_labels import IGNORED, PADDING  # noqa: E402
from palletjack_training.jpeg import compress  # noqa: E402
from palletjack_training.targets import BoxBatch  # noqa: E402

WIDTH, HEIGHT = 240, 136
UPRIGHT = {"rotation": 0.0, "perspective": 0.0, "identity": 0.0, "mosaic": 0.0}


def painted(boxes: list[tuple[int, int, int, int]]) -> tuple[torch.Tensor, BoxBatch]:
    """One black frame for each box, with the box white."""
    frames = torch.zeros(len(boxes), 3, HEIGHT, WIDTH)
    for frame, (x1, y1, x2, y2) in zip(frames, boxes, strict=True):
        frame[:, y1:y2, x1:x2] = 1
    return frames, BoxBatch(
        torch.tensor(boxes, dtype=torch.float32)[:, None], torch.zeros(len(boxes), 1, dtype=torch.int64)
    )


def found(frame: torch.Tensor) -> list[float]:
    """Edges of what is white, to a part of a pixel: brightness sums to the length along each axis."""
    brightness = frame.mean(0)
    profile_x, profile_y = brightness.amax(0), brightness.amax(1)
    edges = []
    for profile in (profile_x, profile_y):
        at = (profile > 0.5).nonzero().flatten()
        middle = int(at[len(at) // 2])
        edges.append((middle - float(profile[:middle].sum()), middle + float(profile[middle:].sum())))
    (x1, x2), (y1, y2) = edges
    return [x1, y1, x2, y2]


def warp(frames: torch.Tensor, batch: BoxBatch, maps: np.ndarray, config: GeometryAugmentation):
    return (
        warp_frames(frames, maps, torch.zeros(len(frames), 3)),
        warp_boxes(batch, maps, WIDTH, HEIGHT, config),
    )


def test_upright_maps_move_boxes_exactly_with_the_pixels() -> None:
    config = GeometryAugmentation(**UPRIGHT, translate=0.05)
    rng = np.random.default_rng(1)
    corners = rng.integers(40, 80, (24, 2))
    frames, batch = painted([(x, y, x + int(w), y + int(h)) for (x, y), (w, h) in
                             zip(corners, rng.integers(20, 50, (24, 2)), strict=True)])  # fmt: skip
    maps = draw_maps(config, 24, WIDTH, HEIGHT, rng)
    assert (maps[:, 0, 0] < 0).sum() > 4, "some are mirrored"
    moved, boxes = warp(frames, batch, maps, config)
    compared = 0
    for frame, box, label in zip(moved, boxes.boxes[:, 0], boxes.labels[:, 0], strict=True):
        inside = box[0] > 2 and box[1] > 2 and box[2] < WIDTH - 2 and box[3] < HEIGHT - 2
        if label == 0 and inside:
            compared += 1
            np.testing.assert_allclose(found(frame), box.numpy(), atol=0.35)
    assert compared >= 8


def test_turned_and_tilted_boxes_bound_the_pixels() -> None:
    config = GeometryAugmentation(mosaic=0, identity=0, zoom=(0.7, 1.3), translate=0.02, rotation=8)
    rng = np.random.default_rng(2)
    frames, batch = painted([(90, 50, 150, 90)] * 16)
    moved, boxes = warp(frames, batch, draw_maps(config, 16, WIDTH, HEIGHT, rng), config)
    for frame, box in zip(moved, boxes.boxes[:, 0], strict=True):
        y, x = (frame.mean(0) > 0.5).nonzero(as_tuple=True)
        bounds = [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]
        np.testing.assert_allclose(
            bounds, box.clamp(torch.zeros(4), torch.tensor([WIDTH, HEIGHT] * 2)), atol=2
        )


def shifted(x: float) -> np.ndarray:
    maps = np.eye(3)[None].copy()
    maps[0, 0, 2] = x
    return maps


@pytest.mark.parametrize(("left", "label"), [(20.0, 0), (26.0, 0), (34.0, IGNORED), (41.0, PADDING)])
def test_cut_objects_are_kept_ignored_or_dropped(left: float, label: int) -> None:
    """A box 40 px wide that starts at 0 is moved out to the left; 35% of it must stay."""
    config = GeometryAugmentation(min_visible_share=0.3, min_box_side=6)
    batch = BoxBatch(torch.tensor([[[0.0, 20.0, 40.0, 60.0]]]), torch.zeros(1, 1, dtype=torch.int64))
    result = warp_boxes(batch, shifted(-left), WIDTH, HEIGHT, config)
    assert result.labels[0, 0] == label
    if label != PADDING:
        assert result.boxes[0, 0].tolist() == pytest.approx([0, 20, 40 - left, 60])


def test_an_ignored_region_stays_ignored() -> None:
    batch = BoxBatch(torch.tensor([[[10.0, 20.0, 40.0, 60.0]]]), torch.full((1, 1), IGNORED))
    result = warp_boxes(batch, shifted(5), WIDTH, HEIGHT, GeometryAugmentation())
    assert result.labels[0, 0] == IGNORED
    assert result.boxes[0, 0].tolist() == [15, 20, 45, 60]


def test_outside_of_the_frame_has_the_fill_colour() -> None:
    frames, _ = painted([(0, 0, WIDTH, HEIGHT)])
    moved = warp_frames(frames, shifted(50), torch.tensor([[0.2, 0.4, 0.6]]))
    torch.testing.assert_close(moved[0, :, 10, 10], torch.tensor([0.2, 0.4, 0.6]))
    torch.testing.assert_close(moved[0, :, 10, 100], torch.ones(3))


def test_shrinking_does_not_alias() -> None:
    """Stripes two pixels wide must turn grey at half size, not into other stripes."""
    stripes = (torch.arange(WIDTH) % 2).float().expand(1, 3, HEIGHT, WIDTH)
    moved = warp_frames(stripes, np.diag([0.5, 0.5, 1.0])[None], torch.zeros(1, 3))
    inner = moved[0, :, 4 : HEIGHT // 2 - 4, 4 : WIDTH // 2 - 4]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5))


def test_mosaic_boxes_lie_on_their_pixels() -> None:
    config = GeometryAugmentation(mosaic=1.0)
    frames, batch = painted([(60, 34, 180, 102)] * 6)
    mixed, boxes = mosaic(frames, batch, config, np.random.default_rng(5))
    assert boxes.labels.shape[1] == 4
    for frame, rows, labels in zip(mixed, boxes.boxes, boxes.labels, strict=True):
        mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
        for (x1, y1, x2, y2), label in zip(rows.tolist(), labels.tolist(), strict=True):
            if label != PADDING:
                mask[math.floor(y1) : math.ceil(y2), math.floor(x1) : math.ceil(x2)] = True
        white = frame.mean(0) > 0.5
        assert white.sum() > 1000
        assert (white & ~mask).sum() == 0
        assert (mask & ~white).sum() < 0.12 * mask.sum()


def test_cut_out_hides_and_ignores() -> None:
    frames, batch = painted([(100, 60, 112, 68)] * 60)
    config = ColourAugmentation(cutout=1.0)
    covered, boxes = cut_out(frames.clone(), batch, config, np.random.default_rng(8))
    assert not torch.equal(covered, frames)
    for frame, label in zip(covered, boxes.labels[:, 0], strict=True):
        hidden = float((frame[:, 60:68, 100:112] != 1).any(0).float().mean())
        if hidden > 0.75:
            assert label == IGNORED
        if hidden < 0.25:
            assert label == 0
    assert {0, IGNORED} == set(boxes.labels[:, 0].tolist())


def test_colours_change_and_stay_in_range() -> None:
    frames = torch.rand(12, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    changed = change_colours(frames.clone(), ColourAugmentation(), np.random.default_rng(4))
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.isfinite(changed).all()
    means = changed.mean(dim=(2, 3))
    assert means.std(dim=0).min() > 0.03


def test_a_dark_frame_keeps_its_object() -> None:
    """An object that shows in the dark must not vanish while its label stays."""
    frames = torch.full((64, 3, HEIGHT, WIDTH), 0.04)
    frames[:, :, 40:100, 60:180] = 0.12
    config = ColourAugmentation(noise=0)
    changed = change_colours(frames, config, np.random.default_rng(6))
    inside = changed[:, :, 60:80, 90:150].mean(dim=(1, 2, 3))
    outside = changed[:, :, :30].mean(dim=(1, 2, 3))
    assert (inside > outside + 0.01).all()


def test_no_augmentation_changes_nothing() -> None:
    kept = ("blur_sigma", "noise_sigma", "jpeg_quality")
    off = {name: 0.0 for name in ColourAugmentation.model_fields if name not in kept}
    frames = torch.rand(2, 3, HEIGHT, WIDTH).clamp_min(1e-4)
    changed = change_colours(frames.clone(), ColourAugmentation(**off), np.random.default_rng(4))
    torch.testing.assert_close(changed, frames, atol=1e-5, rtol=0)
    still = warp_frames(frames, np.tile(np.eye(3), (2, 1, 1)), torch.zeros(2, 3))
    torch.testing.assert_close(still, frames, atol=1e-4, rtol=0)


def test_the_same_generator_gives_the_same_frames() -> None:
    frames, batch = painted([(60, 34, 180, 102)] * 4)
    geometry, colour = GeometryAugmentation(), ColourAugmentation()

    def augmented(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(seed)
        mixed, boxes = mosaic(frames.clone(), batch, geometry, rng)
        maps = draw_maps(geometry, 4, WIDTH, HEIGHT, rng)
        moved = warp_frames(mixed, maps, torch.zeros(4, 3))
        return change_colours(moved, colour, rng), warp_boxes(boxes, maps, WIDTH, HEIGHT, geometry).boxes

    first, again, other = augmented(1), augmented(1), augmented(2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_a_random_filter_changes_some_frames_and_keeps_their_shapes() -> None:
    off = {name: 0.0 for name in ColourAugmentation.model_fields if not name.endswith(("sigma", "quality"))}
    frames = torch.full((40, 3, HEIGHT, WIDTH), 0.4)
    frames[:, :, 40:100, 60:180] = 0.7
    config = ColourAugmentation(**{**off, "random_filter": 0.5})
    changed = change_colours(frames.clone(), config, np.random.default_rng(4))
    assert changed.min() >= 0
    assert changed.max() <= 1
    moved = (changed - frames).abs().amax(dim=(1, 2, 3)) > 0.01
    assert 10 < int(moved.sum()) < 30
    # The object's edges stay within the filter's reach of where they were, and nothing else appears.
    steps = (changed[moved][:, :, 70, 1:] - changed[moved][:, :, 70, :-1]).abs().amax(1)
    columns = torch.arange(steps.shape[1])
    at_edge = ((columns - 59).abs() <= 3) | ((columns - 179).abs() <= 3)
    assert steps[:, ~at_edge].max() < 1e-4
    assert (steps[:, at_edge].amax(1) > 0.02).float().mean() > 0.9


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_compression_leaves_what_an_encoder_leaves(quality: int) -> None:
    """Against Pillow's encoder and decoder: the same errors, pixel for pixel, and not just as large ones."""
    rng = np.random.default_rng(3)
    small = cv2.GaussianBlur(rng.uniform(0, 255, (HEIGHT, WIDTH, 3)).astype(np.float32), (0, 0), 2)
    picture = ((small - small.min()) / np.ptp(small) * 255).astype(np.uint8)
    picture[30:90, 50:150] = (200, 40, 30)
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, "JPEG", quality=quality, subsampling="4:2:0")
    wanted = np.asarray(Image.open(stored)).astype(np.float32)
    frames = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    ours = compress(frames.repeat(2, 1, 1, 1), np.array([quality, 100]))
    assert ours.shape == (2, 3, HEIGHT, WIDTH)
    found = (ours[0] * 255).permute(1, 2, 0).numpy()
    error = np.abs(wanted - picture).mean()
    assert np.abs(found - wanted).mean() < 0.25 * error + 0.6
    # Each frame has its own quality.
    assert np.abs((ours[1] * 255).permute(1, 2, 0).numpy() - picture).mean() < error


def test_a_share_of_the_frames_is_compressed() -> None:
    off = {name: 0.0 for name in ColourAugmentation.model_fields if not name.endswith(("sigma", "quality"))}
    frames = torch.rand(40, 3, 32, 48, generator=torch.Generator().manual_seed(0)).clamp_min(1e-3)
    config = ColourAugmentation(**{**off, "jpeg": 0.5})
    changed = change_colours(frames.clone(), config, np.random.default_rng(4))
    difference = (changed - frames).abs().amax(dim=(1, 2, 3))
    assert 10 < int((difference > 0.02).sum()) < 30
    assert int((difference < 1e-4).sum()) > 10
    with pytest.raises(ValueError, match="jpeg_quality: expected 1 <= lowest <= highest <= 100"):
        ColourAugmentation(jpeg_quality=(90, 30))
