"""Noise as the input of a graph in ONNX Runtime, in whatever it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def noise_for(entry: Any) -> NDArray:
    """Floats in 0..1, or bytes, of the shape of a session's input ``entry``; a free dimension is 1."""
    shape = [side if isinstance(side, int) else 1 for side in entry.shape]
    rng = np.random.default_rng(0)
    if entry.type == "tensor(uint8)":
        return rng.integers(0, 256, shape, np.uint8)
    return rng.random(shape, np.float32)
