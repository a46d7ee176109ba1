"""Named random streams: every part of a frame draws from its own generator.

A draw added to one section of a plan therefore moves no number of another section, and frame k
never depends on frame k-1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)


def substream(seed: int, index: int, name: str) -> np.random.Generator:
    """Return the generator of section ``name`` of frame ``index`` of the data set ``seed``.

    The name enters through the first 8 bytes of its SHA-256, so that equal names give equal streams on every
    machine and Python version. Raises ValueError for a negative seed or index.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and frame index must be at least 0, got seed {seed}, index {index}")
    digest = hashlib.sha256(name.encode()).digest()
    words = (int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little"))
    sequence = np.random.SeedSequence(entropy=(seed, index), spawn_key=words)
    return np.random.Generator(np.random.PCG64(sequence))


def draw_seed(rng: np.random.Generator) -> int:
    """Draw the 31-bit seed of an object or a texture."""
    return int(rng.integers(0, 2**31 - 1))


def draw_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw uniformly from ``bounds`` (low, high)."""
    return float(rng.uniform(bounds[0], bounds[1]))


def draw_log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw from ``bounds`` (low, high), both positive, so that each octave is equally likely."""
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


def draw_weighted(rng: np.random.Generator, weights: Mapping[Key, float]) -> Key:
    """Draw one key of ``weights`` (non-negative, at least one positive) by its weight."""
    names = list(weights)
    values = np.array([weights[name] for name in names], dtype=np.float64)
    return names[int(rng.choice(len(names), p=values / values.sum()))]
