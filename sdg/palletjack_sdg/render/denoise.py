"""Denoising of path-traced frames with Open Image Denoise, where it is installed."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

# The filter splits its sums among its threads, so that their number shows in the last digits of a pixel.
# It must not follow the number of workers: a frame is the same in any of them.
CPU_THREADS = 2


def is_available() -> bool:
    """Whether the package mitsuba-oidn can be imported."""
    return importlib.util.find_spec("mitsuba_oidn") is not None


def denoise(color: Image, albedo: Image, normal: Image) -> Image:
    """Return ``color`` (H, W, 3) without its noise; albedo is 0..1, normals are -1..1, all float32.

    Raises:
        RuntimeError: the filter failed.
    """
    images = [np.ascontiguousarray(image) for image in (color, albedo, normal)]
    filtered = _package().denoise(*images, hdr=True, device=_cpu())
    return np.asarray(filtered, dtype=np.float32)


def denoise_on_device(color: Any, albedo: Any, normal: Any) -> Any:
    """Like ``denoise`` for arrays of Dr.Jit on a GPU, without bringing them to the CPU."""
    return _package().denoise(color, albedo, normal, hdr=True)


@functools.cache
def _cpu() -> Any:
    """The processor with a pool of threads of its own, made once per process."""
    package = _package()
    device = package.Device(package.DeviceType.CPU)
    device.num_threads = CPU_THREADS
    device.commit()
    return device


def _package() -> Any:
    # Imported by name: the package's own type stub is not valid Python, which stops mypy altogether.
    return importlib.import_module("mitsuba_oidn")
