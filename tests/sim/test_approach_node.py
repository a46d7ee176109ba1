"""The approach node in a real graph: it drives only when told to, and only for what it can place."""

from __future__ import annotations

import pytest

from tests.sim.beside_a_node import outcome_beside

pytestmark = [pytest.mark.ros, pytest.mark.long]


def test_node_drives_up_to_the_truck_once_enabled(loop_environment: dict[str, str]) -> None:
    outcome = outcome_beside(
        loop_environment, "palletjack_approach", ("robot_front:=0.4",), "approach_probe.py"
    )
    assert outcome["heard_while_disabled"] == 0
    assert outcome["enabled"] is True
    assert outcome["fastest_for_a_wrong_frame"] == 0.0
    assert 0.3 < outcome["fastest"] <= 0.5
    # 1.5 m before the truck at 4.2 m, which reaches 0.3 m beyond its place; the front is at 0.4 m.
    assert outcome["x"] == pytest.approx(4.2 - 1.5 - 0.3 - 0.4, abs=0.2)
    assert outcome["speed"] == 0.0
