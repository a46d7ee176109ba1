"""JPEG's artefacts on the device, for a whole batch and without an encoder.

What JPEG loses, it loses by rounding the cosine coefficients of 8x8 blocks (ITU-T T.81), with colour at
half the resolution. Both are done here; the lossless rest of the format is left out.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_BLOCK = 8
# T.81, annex K: the steps of brightness and colour at quality 50, which encoders scale by quality.
_LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99,) * 8,
    (99,) * 8,
    (99,) * 8,
    (99,) * 8,
)
_TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def compress(frames: Tensor, quality: NDArray[np.integer]) -> Tensor:
    """Frames (B, 3, H, W) RGB in 0..1 as JPEG of ``quality`` (B,) in 1..100 would leave them.

    Colour is subsampled 4:2:0, as cameras do. Sides that are no multiple of 16 are filled up, as encoders do.
    """
    device = frames.device
    height, width = frames.shape[-2:]
    frames = F.pad(frames, (0, -width % (2 * _BLOCK), 0, -height % (2 * _BLOCK)), mode="replicate")
    # Centred at 0 in units of 1/255, as the format has it.
    planes = _mix(frames, _TO_YCC) * 255
    luma = _quantize(planes[:, :1] - 128, _steps(_LUMA_STEPS, quality, device)) + 128
    small = _quantize(F.avg_pool2d(planes[:, 1:], 2), _steps(_CHROMA_STEPS, quality, device))
    chroma = F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
    rgb = _mix(torch.cat((luma, chroma), 1), _TO_RGB)[..., :height, :width]
    return (rgb / 255).clamp_(0, 1)


def _mix(planes: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """Multiply the channels of (B, 3, H, W) by a 3x3 matrix."""
    mixed = torch.matmul(_on_device(matrix, planes.device), planes.flatten(2))
    return mixed.view(planes.shape)


@lru_cache(maxsize=16)
def _on_device(matrix: tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    """A small constant, copied once: a copy at each step would make the host wait for the device."""
    return torch.tensor(matrix, device=device)


def _quantize(planes: Tensor, steps: Tensor) -> Tensor:
    """Round the coefficients of each block of (B, C, H, W) to multiples of ``steps`` (B, 8, 8)."""
    basis = _cosine_basis(planes.device)
    blocks = planes.unflatten(-1, (-1, _BLOCK)).unflatten(-3, (-1, _BLOCK)).transpose(-3, -2)
    # Always a small matrix on the right, which makes one product of all blocks; each turns the block over.
    step = steps.transpose(-1, -2)[:, None, None, None]
    coefficients = (blocks @ basis.T).transpose(-1, -2) @ basis.T
    kept = (coefficients / step).round_().mul_(step)
    restored = (kept @ basis).transpose(-1, -2) @ basis
    return restored.transpose(-3, -2).reshape(planes.shape)


@lru_cache(maxsize=4)
def _cosine_basis(device: torch.device) -> Tensor:
    """The orthonormal cosine transform (8, 8) along one side of a block."""
    at = torch.arange(_BLOCK, device=device, dtype=torch.float32)
    basis = torch.cos((2 * at + 1) * at[:, None] * (math.pi / (2 * _BLOCK))) * math.sqrt(2 / _BLOCK)
    basis[0] /= math.sqrt(2)
    return basis


def _steps(table: tuple[tuple[int, ...], ...], quality: NDArray[np.integer], device: torch.device) -> Tensor:
    """Rounding steps (B, 8, 8) at each quality, by the rule of the Independent JPEG Group's encoder."""
    scale = np.where(quality < 50, 5000 // np.maximum(quality, 1), 200 - 2 * quality)
    steps = np.clip((np.array(table) * scale[:, None, None] + 50) // 100, 1, 255)
    return torch.from_numpy(steps.astype(np.float32)).to(device, non_blocking=True)
