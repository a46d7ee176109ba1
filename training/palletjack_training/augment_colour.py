"""Colour and sensor augmentation of a batch on the device.

All linear changes of colour (brightness, contrast, saturation, hue, white balance, channel order,
grey) of a frame make one affine map, so that the batch is read and written once for all of them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from palletjack_training.augment_config import ColourAugmentation
from palletjack_training.box_labels import IGNORED
from palletjack_training.jpeg import compress
from palletjack_training.targets import BoxBatch

_LUMA = np.array([0.299, 0.587, 0.114])
_BLUR_REACH = 4
_FILTER_SIZES = (1, 3, 5)
_CUTOUTS = 3
_HIDDEN = 0.5


def change_colours(frames: Tensor, config: ColourAugmentation, rng: np.random.Generator) -> Tensor:
    """Change the colours of frames (B, 3, H, W) in 0..1, then blur, coarsen, add noise to and compress
    some."""
    frames = _filter_some(frames, config, rng)
    count = len(frames)
    device = frames.device
    drawn = [_draw_colour_map(config, rng) for _ in range(count)]
    matrix = torch.from_numpy(np.stack([item[0] for item in drawn]).astype(np.float32))
    levels = torch.tensor([item[1:] for item in drawn], dtype=torch.float32)
    contrast, brightness = levels.to(device, non_blocking=True).unbind(1)
    # Contrast turns about the frame's own mean and brightness goes a share of the way to black or
    # white, so that a dark frame does not lose its objects altogether.
    mean = frames.mean(dim=(1, 2, 3))
    room = torch.where(brightness < 0, mean, 1 - mean)
    offset = (1 - contrast) * mean + brightness * room
    flat = torch.baddbmm(offset[:, None, None], matrix.to(device, non_blocking=True), frames.flatten(2))
    gamma = np.exp(rng.uniform(-config.gamma, config.gamma, count)).astype(np.float32)
    frames = flat.view_as(frames).clamp_(1e-4, 1).pow_(_column(gamma, device))
    frames = _blur_some(frames, config, rng)
    frames = _coarsen_some(frames, config, rng)
    frames = _add_noise(frames, config, rng).clamp_(0, 1)
    return _compress_some(frames, config, rng)


def cut_out(
    frames: Tensor, batch: BoxBatch, config: ColourAugmentation, rng: np.random.Generator
) -> tuple[Tensor, BoxBatch]:
    """Cover some frames, in place, with plain rectangles; objects more than half covered become ignored."""
    count, _, height, width = frames.shape
    chosen = rng.random(count) < config.cutout
    share = rng.uniform(0.02, 0.12, (count, _CUTOUTS, 2)) * chosen[:, None, None]
    size = share * (width, height)
    corner = rng.uniform(0, 1, (count, _CUTOUTS, 2)) * ((width, height) - size)
    colours = rng.uniform(0, 1, (count, _CUTOUTS, 3)).astype(np.float32)
    rectangles = np.concatenate((corner, corner + size), -1).astype(np.float32)

    if chosen.any():
        index = torch.from_numpy(np.flatnonzero(chosen)).to(frames.device, non_blocking=True)
        frames[index] = _covered(frames[index], rectangles[chosen], colours[chosen])
    hidden = _overlap(batch.boxes[:, :, None], torch.from_numpy(rectangles)[:, None]).sum(-1)
    area = (batch.boxes[..., 2:] - batch.boxes[..., :2]).prod(-1).clamp_min(1e-6)
    labels = torch.where((hidden / area > _HIDDEN) & (batch.labels >= 0), IGNORED, batch.labels)
    return frames, BoxBatch(batch.boxes, labels)


def _covered(frames: Tensor, rectangles: NDArray[np.float32], colours: NDArray[np.float32]) -> Tensor:
    """Paint rectangles (B, N, 4) of colours (B, N, 3) over frames (B, 3, H, W), in order."""
    height, width = frames.shape[-2:]
    boxes = torch.from_numpy(rectangles).to(frames.device, non_blocking=True)
    paint = torch.from_numpy(colours).to(frames.device, non_blocking=True)
    x = torch.arange(width, device=frames.device) + 0.5
    y = torch.arange(height, device=frames.device) + 0.5
    for number in range(rectangles.shape[1]):
        box = boxes[:, number, :, None]
        in_x = (x >= box[:, 0]) & (x < box[:, 2])
        in_y = (y >= box[:, 1]) & (y < box[:, 3])
        inside = in_y[:, None, :, None] & in_x[:, None, None, :]
        frames = torch.where(inside, paint[:, number, :, None, None], frames)
    return frames


def _overlap(first: Tensor, second: Tensor) -> Tensor:
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    return (high - low).clamp_min(0).prod(-1)


def _column(values: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device, non_blocking=True)[:, None, None, None]


def _draw_colour_map(
    config: ColourAugmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float, float]:
    """One frame's 3x3 colour map, which includes the contrast; the contrast; and the brightness in -1..1."""
    grey = np.tile(_LUMA, (3, 1))
    saturation = math.exp(rng.uniform(-config.saturation, config.saturation))
    matrix = grey + saturation * (np.eye(3) - grey)
    matrix = _hue_rotation(math.radians(rng.uniform(-config.hue, config.hue))) @ matrix
    if rng.random() < config.channel_swap:
        matrix = matrix[rng.permutation(3)]
    if rng.random() < config.grayscale:
        matrix = grey @ matrix
    balance = 1 + rng.uniform(-config.white_balance, config.white_balance, 3)
    contrast = 1 + rng.uniform(-config.contrast, config.contrast)
    matrix = contrast * np.diag(balance / (balance @ _LUMA)) @ matrix
    return matrix, contrast, rng.uniform(-config.brightness, config.brightness)


def _hue_rotation(angle: float) -> NDArray[np.float64]:
    """Rotate colours about the grey axis by ``angle`` radians (Rodrigues' formula)."""
    axis = np.ones(3) / math.sqrt(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _filter_some(frames: Tensor, config: ColourAugmentation, rng: np.random.Generator) -> Tensor:
    """Mix a share of the frames with what a random filter makes of them (RandConv, Xu et al. 2021).

    A filter of random size and weights changes all local texture and keeps shapes; its result gets the
    frame's own mean and deviation before it is mixed in by a random share.
    """
    if config.random_filter == 0:
        return frames  # before anything is drawn: a seed gives what it gave before this was there
    chosen = np.flatnonzero(rng.random(len(frames)) < config.random_filter)
    if len(chosen) == 0:
        return frames
    share = rng.uniform(0, 1, len(chosen)).astype(np.float32)
    kernels = np.concatenate([_random_kernel(rng) for _ in chosen]).astype(np.float32)
    index = torch.from_numpy(chosen).to(frames.device, non_blocking=True)
    weight = torch.from_numpy(kernels).to(frames.device, non_blocking=True)
    picked = frames[index]
    reach = _FILTER_SIZES[-1] // 2
    padded = F.pad(picked.flatten(0, 1)[None], (reach,) * 4, mode="replicate")
    filtered = F.conv2d(padded, weight.to(frames.dtype), groups=len(chosen))[0].unflatten(0, (-1, 3))
    deviation, mean = torch.std_mean(picked, dim=(1, 2, 3), keepdim=True)
    own_deviation, own_mean = torch.std_mean(filtered, dim=(1, 2, 3), keepdim=True)
    filtered = (filtered - own_mean) * (deviation / own_deviation.clamp_min(1e-4)) + mean
    frames[index] = torch.lerp(picked, filtered, _column(share, frames.device)).clamp_(0, 1)
    return frames


def _random_kernel(rng: np.random.Generator) -> NDArray[np.float64]:
    """Weights (3, 3, 5, 5) from three colours to three, zero outside of a random size."""
    largest = _FILTER_SIZES[-1]
    size = int(rng.choice(_FILTER_SIZES))
    kernel = np.zeros((3, 3, largest, largest))
    inner = slice((largest - size) // 2, (largest + size) // 2)
    kernel[:, :, inner, inner] = rng.normal(0, 1, (3, 3, size, size))
    return kernel


def _blur_some(frames: Tensor, config: ColourAugmentation, rng: np.random.Generator) -> Tensor:
    """Blur a share of the frames, half of them evenly (defocus), half along a line (motion)."""
    chosen = np.flatnonzero(rng.random(len(frames)) < config.blur)
    if len(chosen) == 0:
        return frames
    kernels = np.stack([_blur_kernel(config.blur_sigma, rng) for _ in chosen]).astype(np.float32)
    index = torch.from_numpy(chosen).to(frames.device, non_blocking=True)
    weight = torch.from_numpy(kernels).to(frames.device, non_blocking=True).repeat_interleave(3, 0)[:, None]
    picked = F.pad(frames[index].flatten(0, 1)[None], (_BLUR_REACH,) * 4, mode="replicate")
    blurred = F.conv2d(picked, weight, groups=3 * len(chosen))
    frames[index] = blurred[0].unflatten(0, (-1, 3))
    return frames


def _blur_kernel(highest_sigma: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A Gaussian that is round or, for motion, drawn out along a random direction."""
    along = rng.uniform(0.4, highest_sigma)
    across = 0.3 if rng.random() < 0.5 else along
    angle = rng.uniform(0, math.pi)
    y, x = np.mgrid[-_BLUR_REACH : _BLUR_REACH + 1, -_BLUR_REACH : _BLUR_REACH + 1]
    u = x * math.cos(angle) + y * math.sin(angle)
    v = y * math.cos(angle) - x * math.sin(angle)
    kernel = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return kernel / kernel.sum()


def _coarsen_some(frames: Tensor, config: ColourAugmentation, rng: np.random.Generator) -> Tensor:
    """Scale a share of the frames down and up again, as a camera of fewer pixels sees them."""
    chosen = np.flatnonzero(rng.random(len(frames)) < config.downscale)
    factor = rng.uniform(0.35, 0.85)
    if len(chosen) == 0:
        return frames
    height, width = frames.shape[-2:]
    index = torch.from_numpy(chosen).to(frames.device, non_blocking=True)
    small = F.interpolate(
        frames[index], size=(round(height * factor), round(width * factor)), mode="bilinear", antialias=True
    )
    frames[index] = F.interpolate(small, size=(height, width), mode="bilinear").to(frames.dtype)
    return frames


def _add_noise(frames: Tensor, config: ColourAugmentation, rng: np.random.Generator) -> Tensor:
    noisy = rng.random(len(frames)) < config.noise
    sigma = (rng.uniform(0, config.noise_sigma, len(frames)) * noisy).astype(np.float32)
    generator = torch.Generator(frames.device).manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(frames.shape, device=frames.device, generator=generator)
    return frames.addcmul_(noise, _column(sigma, frames.device))


def _compress_some(frames: Tensor, config: ColourAugmentation, rng: np.random.Generator) -> Tensor:
    """Leave JPEG's artefacts in a share of the frames, last of all, as in a camera."""
    chosen = np.flatnonzero(rng.random(len(frames)) < config.jpeg)
    if len(chosen) == 0:
        return frames
    lowest, highest = config.jpeg_quality
    quality = rng.integers(lowest, highest + 1, len(chosen))
    index = torch.from_numpy(chosen).to(frames.device, non_blocking=True)
    frames[index] = compress(frames[index], quality)
    return frames
