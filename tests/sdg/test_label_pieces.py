"""The box of a mask in pieces: slivers apart do not stretch it, thin gaps do not split it."""

from __future__ import annotations

import numpy as np

from palletjack_sdg.visibility import main_box


def test_a_sliver_of_a_fork_far_from_the_truck_does_not_stretch_the_box() -> None:
    mask = np.zeros((100, 120), dtype=bool)
    mask[0:90, 0:40] = True
    mask[92:94, 90:115] = True
    assert main_box(mask, 0.06) == (0, 0, 40, 90)
    assert main_box(mask, 0.0) == (0, 0, 115, 94)


def test_a_truck_that_a_post_cuts_in_two_stays_whole() -> None:
    mask = np.zeros((80, 100), dtype=bool)
    mask[:, 0:60] = True
    mask[:, 70:100] = True
    assert main_box(mask, 0.06) == (0, 0, 100, 80)


def test_pieces_between_wires_count_together() -> None:
    mask = np.zeros((100, 100), dtype=bool)
    mask[0:60, 0:60] = True
    mask[62:100, 0:60:3] = True  # one-pixel columns, two pixels apart
    assert main_box(mask, 0.06) == (0, 0, 58 + 2, 100)
