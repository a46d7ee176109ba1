"""Bags hang below their hook and are rebuilt exactly."""

from __future__ import annotations

import numpy as np
import pytest

from palletjack_sdg.objects.bags import BagParams, build_bag, sample_bag


def test_drawn_bags_hang_from_their_hook() -> None:
    rng = np.random.default_rng(2)
    kinds = set()
    for _ in range(12):
        params = sample_bag(rng)
        kinds.add(params.kind)
        prop, again = build_bag(params), build_bag(params)
        low, high = prop.bounds()
        assert prop.anchors["hook"] == (0.0, 0.0, 0.0)
        assert low[2] == pytest.approx(-params.height, abs=0.02)
        assert -0.03 < high[2] < 0.02
        assert high[1] - low[1] <= params.width + 0.01
        assert sum(len(part.faces) for part in prop.parts) < 2500
        for part, same in zip(prop.parts, again.parts, strict=True):
            np.testing.assert_array_equal(part.vertices, same.vertices)
    assert kinds == {"bag", "jacket"}


@pytest.mark.parametrize("kind", ["bag", "jacket"])
def test_surfaces_face_outwards(kind: str) -> None:
    for part in build_bag(BagParams.model_validate({"kind": kind})).parts:
        a, b, c = (part.vertices[part.faces[:, k]].astype(np.float64) for k in range(3))
        assert float(np.sum(a * np.cross(b, c))) > 0.0
